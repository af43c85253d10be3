using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// kmem_alloc and vmem_alloc: memory from the arena. Up to 16 KiB it comes from the caches kmalloc-8 to kmalloc-16384, naturally
/// aligned for powers of two; above that in whole pages, contiguous if they can be had at once, otherwise scattered ones
/// mapped together. The two differ by their limits alone, which are SPL's: kmem_alloc of more than
/// <see cref="KmemOptions.AllocWarnBytes"/> is warned of, of more than <see cref="KmemOptions.AllocMaxBytes"/> it gives null, even with
/// KM_SLEEP; vmem_alloc goes up to the size of the arena.
/// </summary>
public static unsafe class KmemAllocator
{
    /// <summary>kmem_alloc: 8-byte aligned. Null with <see cref="KmFlags.NoSleep"/>, and beyond
    /// <see cref="KmemOptions.AllocMaxBytes"/>.</summary>
    /// <param name="size">Bytes, 1 or more.</param>
    /// <param name="flags">KM_SLEEP, KM_NOSLEEP or KM_PUSHPAGE.</param>
    public static byte* Alloc(long size, KmFlags flags)
    {
        Kthread self = Kthread.Current;
        KmemCache? cache = KmallocCaches.Current(size);
        return cache is not null ? cache.Alloc(flags, self) : AllocLimited(KmemSystem.Current, size, flags);
    }

    /// <summary>kmem_alloc, zero-filled.</summary>
    public static byte* Zalloc(long size, KmFlags flags) => Clear(Alloc(size, flags), size);

    /// <summary>Frees what Alloc or Zalloc gave. <paramref name="size"/> is the size asked for: up to 16 KiB one that leads to another cache
    /// is refused, above it every other one. A second free is found out above 16 KiB, and under slab debugging.</summary>
    public static void Free(byte* p, long size)
    {
        Kthread self = Kthread.Current;
        KmemCache? cache = KmallocCaches.Current(size);
        if (cache is not null)
        {
            cache.Free(p, self);
        }
        else
        {
            FreeLarge(KmemSystem.Current, p, size);
        }
    }

    /// <summary>Whole pages, however few.</summary>
    internal static byte* AllocPages(int pages, KmFlags flags)
    {
        Gfp.Check(flags);
        return Large(KmemSystem.Current, (long)pages << ArenaMapping.PageShift, flags);
    }

    /// <summary>Frees what AllocPages gave.</summary>
    internal static void FreePages(byte* p, int pages) => FreeLarge(KmemSystem.Current, p, (long)pages << ArenaMapping.PageShift);

    private static void FreeLarge(KmemSystem system, byte* p, long size)
    {
        int page = system.Mapping.IndexOf(p);
        if (page < 0 || system.Mapping.Address(page) != p || system.Mapping.Pages[page].Kind != PageKind.Large)
        {
            throw new InvalidOperationException($"address 0x{(ulong)p:x} is freed with size {size}, but is no such allocation");
        }

        ref PageDesc d = ref system.Mapping.Pages[page];
        if (d.Data != (ulong)size)
        {
            throw new InvalidOperationException($"address 0x{(ulong)p:x} is freed with size {size}, but was allocated with {d.Data}");
        }

        if ((system.LargeDebug & SlabDebugFlags.Leaks) != 0)
        {
            _ = system.Leaks.Remove(p);
        }

        Katomic.Add(ref system.LargeBytes, -((long)d.Pages << ArenaMapping.PageShift));
        system.FreePages(page, d.Pages, described: 1);
    }

    /// <summary>vmem_alloc: virtually contiguous memory, for large sizes, up to the arena's. Null only with
    /// <see cref="KmFlags.NoSleep"/>.</summary>
    public static byte* VmemAlloc(long size, KmFlags flags)
    {
        Kthread self = Kthread.Current;
        KmemCache? cache = KmallocCaches.Current(size);
        return cache is not null ? cache.Alloc(flags, self) : Large(KmemSystem.Current, size, flags);
    }

    /// <summary>vmem_zalloc.</summary>
    public static byte* VmemZalloc(long size, KmFlags flags) => Clear(VmemAlloc(size, flags), size);

    /// <summary>Frees what VmemAlloc gave.</summary>
    public static void VmemFree(byte* p, long size) => Free(p, size);

    private static byte* Clear(byte* p, long size)
    {
        if (p != null)
        {
            NativeMemory.Clear(p, (nuint)size);
        }

        return p;
    }

    private static byte* AllocLimited(KmemSystem system, long size, KmFlags flags) =>
        IsTooLarge(system, size, flags) ? null : Large(system, size, flags);

    /// <summary>The limits of kmem_alloc: warns, and says whether the size is refused.</summary>
    private static bool IsTooLarge(KmemSystem system, long size, KmFlags flags)
    {
        bool refused = size > system.Options.AllocMaxBytes;
        if (!refused && (system.Options.AllocWarnBytes == 0 || size <= system.Options.AllocWarnBytes))
        {
            return false;
        }

        Katomic.Increment(ref system.Counters.LargeAllocs);
        if (refused)
        {
            Katomic.Increment(ref system.Counters.Failures);
        }

        if (system.Options.AllocWarnBytes != 0 && system.Options.Warn is { } warn && system.LargeWarnings.Admit())
        {
            warn($"kmem_alloc of {size} bytes ({flags}) by thread {Kthread.Current}{(refused ? ", refused" : string.Empty)}: use vmem_alloc above {Math.Min(system.Options.AllocWarnBytes, system.Options.AllocMaxBytes)}");
        }

        return refused;
    }

    [MethodImpl(MethodImplOptions.NoInlining)] // A stack in a report shall name it.
    private static byte* Large(KmemSystem system, long size, KmFlags flags)
    {
        if (size <= 0 || size > system.ArenaBytes)
        {
            throw new ArgumentOutOfRangeException(nameof(size), $"an allocation of {size} bytes from an arena of {system.ArenaBytes}");
        }

        Kthread self = Kthread.Current;
        if (self.HeldCount != 0)
        {
            FsReclaim.Touch(flags, system.Policy, self);
        }

        if (system.Torture.Rate > 0)
        {
            system.Torture.Point(flags, self);
        }

        if ((system.Options.FaultPoints && system.Faults.Hits(flags, self))
            || ((system.LargeDebug & SlabDebugFlags.Failslab) != 0 && system.Failslab.Hits(flags, size, self)))
        {
            return null;
        }

        GfpMask gfp = Gfp.Convert(flags, system.Policy, self.Flags);
        int pages = (int)((size + ArenaMapping.PageSize - 1) >> ArenaMapping.PageShift);
        int page = pages <= MemoryNode.MaxPages ? system.Pages.Alloc(pages, gfp, self) : PageAllocator.Fragmented;
        if (page == PageAllocator.Fragmented && (gfp & GfpMask.DirectReclaim) != 0)
        {
            page = system.Vmalloc.Alloc(pages, gfp, self);
        }

        if (page < 0)
        {
            return null;
        }

        ref PageDesc d = ref system.Mapping.Pages[page];
        d.Kind = PageKind.Large;
        d.Pages = pages;
        d.Data = (ulong)size;
        Katomic.Add(ref system.LargeBytes, (long)pages << ArenaMapping.PageShift);
        byte* p = system.Mapping.Address(page);
        if (system.Options.Poison)
        {
            Poison.FillUninit(p, size);
        }

        if ((system.LargeDebug & SlabDebugFlags.Leaks) != 0)
        {
            system.Leaks.Add(p, size, SlabDebugSpec.LargeName, system.CallSites.Capture(), self);
        }

        return p;
    }
}
