namespace ZfsLite.Kmem;

/// <summary>
/// How the SPL engine cuts slabs. A slab begins with its header, each object is followed by one of its own, both rounded up to the
/// alignment. A mapped slab is as large as its objects need; one of contiguous pages is half of the next power of two, two pages at
/// least. An off-slab slab is a page of addresses, and each of its objects has pages of its own.
/// </summary>
internal readonly struct SplEngineGeometry
{
    private const int MaxSlabBytes = 32 << 20;
    private const int ArenaShare = 64;
    private const int WideFrom = 1024;
    private const int WidePages = 16;

    /// <summary>Slabs (off-slab: objects) are mapped through vmalloc.</summary>
    internal readonly bool Mapped;

    /// <summary>Objects lie outside their slab.</summary>
    internal readonly bool OffSlab;

    /// <summary>From the start of an object to its header, bytes.</summary>
    internal readonly int HeaderAt;

    /// <summary>Bytes of an object with its header.</summary>
    internal readonly int ObjectBytes;

    /// <summary>From the start of the slab to its first object, bytes.</summary>
    internal readonly int FirstObject;

    /// <summary>Objects of a slab.</summary>
    internal readonly int Objects;

    /// <summary>Pages of a slab, off-slab objects not counted.</summary>
    internal readonly int Pages;

    /// <summary>Pages of an off-slab object.</summary>
    internal readonly int ObjectPages;

    /// <summary>Pages of an emergency object, which has no header.</summary>
    internal readonly int EmergencyPages;

    /// <summary>Computes it; throws if not even one object fits a slab (ENOSPC).</summary>
    internal SplEngineGeometry(string name, int size, int align, KmemCacheFlags flags, SplEngineOptions options, long arenaBytes)
    {
        HeaderAt = Round(size, align);
        ObjectBytes = HeaderAt + Round(SplObject.Bytes, align);
        FirstObject = Round(SplSlab.Bytes, align);
        ObjectPages = PagesFor(ObjectBytes);
        EmergencyPages = PagesFor(size);
        Mapped = (flags & KmemCacheFlags.Vmem) != 0 || ((flags & KmemCacheFlags.Kmem) == 0 && ObjectBytes > options.KmemLimit);
        OffSlab = (flags & KmemCacheFlags.OffSlab) != 0;
        int contiguousMax = MemoryNode.MaxPages << ArenaMapping.PageShift;
        if (OffSlab)
        {
            Pages = 1;
            Objects = !Mapped && ObjectBytes > contiguousMax ? 0 : options.ObjectsPerSlab;
        }
        else
        {
            int one = FirstObject + ObjectBytes;
            int max = options.MaxSlabBytes != 0
                ? options.MaxSlabBytes
                : (int)Math.Min(MaxSlabBytes, Math.Max(arenaBytes / ArenaShare, Mapped ? one : 2L * one));
            long want = FirstObject + ((long)options.ObjectsPerSlab * ObjectBytes);
            if (!Mapped)
            {
                max = Math.Min(max, contiguousMax);
                want = Math.Min(max, (long)ArenaMapping.PageSize << Math.Max(BuddyAllocator.OrderFor(PagesFor(want)) - 1, 1));
            }

            Objects = (int)((Math.Min(want, max) - FirstObject) / ObjectBytes);
            Pages = PagesFor(Mapped ? FirstObject + ((long)Objects * ObjectBytes) : want);
            Widen(size, max, ref Pages, ref Objects);
        }

        if (Objects <= 0)
        {
            throw new ArgumentOutOfRangeException(
                nameof(size), $"cache {name}: not one object of {size} bytes, {ObjectBytes} with its header, fits a slab (ENOSPC)");
        }
    }

    /// <summary>Objects that a magazine holds: the sizes of SPL, and no more than 1/512 of the arena over all CPUs.</summary>
    internal int MagazineSize(SplEngineOptions options, long arenaBytes, int cpus)
    {
        const int page = ArenaMapping.PageSize;
        if (options.MagazineSize != 0)
        {
            return Math.Clamp(options.MagazineSize, 2, 256);
        }

        int size = ObjectBytes switch
        {
            > page * 256 => 4,
            > page * 32 => 16,
            > page => 64,
            > page / 4 => 128,
            _ => 256,
        };
        long share = Math.Min(size, arenaBytes / 512 / cpus / ObjectBytes);
        return share < 2 ? 0 : (int)share;
    }

    /// <summary>Upstream stops before this, and full slabs of some sizes from 1 KiB up took a third more than their objects. A few pages more
    /// make it an eighth, unless the alignment alone costs that.</summary>
    private void Widen(int size, int maxBytes, ref int pages, ref int objects)
    {
        int most = Math.Min(WidePages, maxBytes >> ArenaMapping.PageShift);
        for (int wide = pages; size >= WideFrom && wide <= most && objects > 0; wide++)
        {
            int fits = wide == pages ? objects : ((wide << ArenaMapping.PageShift) - FirstObject) / ObjectBytes;
            if (((long)wide << ArenaMapping.PageShift) * 8 <= (long)fits * size * 9)
            {
                pages = wide;
                objects = fits;
                return;
            }
        }
    }

    private static int Round(int bytes, int align) => (bytes + align - 1) & -align;

    private static int PagesFor(long bytes) => (int)((bytes + ArenaMapping.PageSize - 1) >> ArenaMapping.PageShift);
}
