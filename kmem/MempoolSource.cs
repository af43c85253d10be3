using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>Where the elements of a pool come from.</summary>
internal abstract unsafe class MempoolSource
{
    /// <summary>Bytes of an element.</summary>
    internal abstract long ElementBytes { get; }

    /// <summary>One attempt that neither waits nor reclaims. It may use half of min if the flags say so, but never what reclaimers have
    /// (NOMEMALLOC): they shall rather take from the pool.</summary>
    internal byte* TryAlloc(KmFlags flags, Kthread self)
    {
        KmFlags noWait = KmFlags.NoSleep | (flags & KmFlags.PushPage);
        if ((self.Flags & (ThreadFlags.Memalloc | ThreadFlags.InReclaim | ThreadFlags.NoMemalloc)) is 0 or ThreadFlags.NoMemalloc)
        {
            return Alloc(noWait);
        }

        ThreadFlags saved = self.Flags;
        self.Flags |= ThreadFlags.NoMemalloc;
        byte* element = Alloc(noWait);
        self.Flags = saved;
        return element;
    }

    internal abstract byte* Alloc(KmFlags flags);

    internal abstract void Free(byte* element);

    /// <summary>Objects of a cache.</summary>
    internal sealed class OfCache(KmemCache cache) : MempoolSource
    {
        internal override long ElementBytes => cache.ObjectSize;

        internal override byte* Alloc(KmFlags flags) => cache.Alloc(flags);

        internal override void Free(byte* element) => cache.Free(element);
    }

    /// <summary>vmem_alloc of one size.</summary>
    internal sealed class OfSize(long bytes) : MempoolSource
    {
        internal override long ElementBytes => bytes;

        internal override byte* Alloc(KmFlags flags) => KmemAllocator.VmemAlloc(bytes, flags);

        internal override void Free(byte* element) => KmemAllocator.VmemFree(element, bytes);
    }

    /// <summary>Whole pages.</summary>
    internal sealed class OfPages(int pages) : MempoolSource
    {
        internal override long ElementBytes => (long)pages << ArenaMapping.PageShift;

        internal override byte* Alloc(KmFlags flags) => KmemAllocator.AllocPages(pages, flags);

        internal override void Free(byte* element) => KmemAllocator.FreePages(element, pages);
    }
}
