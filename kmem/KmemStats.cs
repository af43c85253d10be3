namespace ZfsLite.Kmem;

/// <summary>What the memory of the process looks like at one moment: pages, counters of the policy, caches, shrinkers.</summary>
public sealed record KmemStats
{
    /// <summary>Bytes of a page.</summary>
    public const int PageSize = ArenaMapping.PageSize;

    /// <summary>Policy in force.</summary>
    public KmemPolicy Policy { get; init; }

    /// <summary>The engine of slab caches.</summary>
    public SlabEngineKind SlabEngine { get; init; }

    /// <summary>With the SPL engine: the size of objects, bytes, up to which SLUB+Q serves a cache all the same.</summary>
    public int SplSlabLimit { get; init; }

    /// <summary>Size of the arena, bytes.</summary>
    public long ArenaBytes { get; init; }

    /// <summary>Is the arena locked into memory?</summary>
    public bool Locked { get; init; }

    /// <summary>If not, why.</summary>
    public string? LockReason { get; init; }

    /// <summary>Free pages.</summary>
    public long FreePages { get; init; }

    /// <summary>The fewest free pages there have been.</summary>
    public long LowestFreePages { get; init; }

    /// <summary>The watermarks, in pages.</summary>
    public Watermarks Marks { get; init; }

    /// <summary>Free blocks by order, 0 to 10.</summary>
    public IReadOnlyList<int> FreeBlocks { get; init; } = [];

    /// <summary>Bytes of allocations made straight from pages.</summary>
    public long LargeBytes { get; init; }

    /// <summary>Runs mapped in the vmalloc window now.</summary>
    public long VmallocMappings { get; init; }

    /// <summary>Pages of the vmalloc window in use.</summary>
    public long VmallocPages { get; init; }

    /// <summary>Mappings made in the vmalloc window over all time.</summary>
    public long VmallocTotal { get; init; }

    /// <summary>Sleeping allocations that a mark turned away from reclaim through the file system.</summary>
    public long TurnedAway { get; init; }

    /// <summary>Allocations that went below the min watermark.</summary>
    public long ReserveEvents { get; init; }

    /// <summary>Pages that they took from below it.</summary>
    public long ReservePages { get; init; }

    /// <summary>Direct reclaims in callers' threads.</summary>
    public long DirectReclaims { get; init; }

    /// <summary>Times kswapd was woken.</summary>
    public long KswapdWakes { get; init; }

    /// <summary>Pages that came back while somebody reclaimed.</summary>
    public long PagesReclaimed { get; init; }

    /// <summary>Objects that shrinkers freed.</summary>
    public long ObjectsReclaimed { get; init; }

    /// <summary>Runs of the shrinkers by --torture-reclaim.</summary>
    public long TortureRuns { get; init; }

    /// <summary>Sleeping allocations that had to reclaim or wait.</summary>
    public long Stalls { get; init; }

    /// <summary>Time they spent, nanoseconds.</summary>
    public long StallNs { get; init; }

    /// <summary>Allocations that failed (KM_NOSLEEP).</summary>
    public long Failures { get; init; }

    /// <summary>Warnings about long stalls, printed or not.</summary>
    public long Warnings { get; init; }

    /// <summary>kmem_allocs beyond <see cref="KmemOptions.AllocWarnBytes"/>, warned of or not; those that gave null included.</summary>
    public long LargeAllocs { get; init; }

    /// <summary>All caches, in the order of their creation.</summary>
    public IReadOnlyList<KmemCacheStats> Caches { get; init; } = [];

    /// <summary>All memory pools, in the order of their creation.</summary>
    public IReadOnlyList<MempoolStats> Mempools { get; init; } = [];

    /// <summary>All shrinkers, in the order of their registration.</summary>
    public IReadOnlyList<ShrinkerStats> Shrinkers { get; init; } = [];

    /// <summary>The figures of the system in force. Allocates on the GC heap.</summary>
    public static KmemStats Snapshot() => Of(KmemSystem.Current);

    internal static KmemStats Of(KmemSystem system)
    {
        KmemCounters c = system.Counters;
        var stats = new KmemStats
        {
            Policy = system.Policy,
            SlabEngine = system.Options.SlabEngine,
            SplSlabLimit = system.Options.Spl.SlabLimit,
            ArenaBytes = system.ArenaBytes,
            Locked = system.Locked,
            LockReason = system.LockReason,
            FreePages = system.Pages.FreePages,
            Marks = system.Pages.Marks,
            LargeBytes = system.LargeBytes,
            VmallocMappings = system.Vmalloc.Mappings,
            VmallocPages = system.Vmalloc.UsedPages,
            VmallocTotal = system.Vmalloc.Total,
            TurnedAway = c.TurnedAway,
            DirectReclaims = c.DirectReclaims,
            KswapdWakes = c.KswapdWakes,
            PagesReclaimed = c.PagesReclaimed,
            ObjectsReclaimed = c.ObjectsReclaimed,
            TortureRuns = c.TortureRuns,
            Stalls = c.Stalls,
            StallNs = c.StallNs,
            Failures = c.Failures,
            Warnings = c.Warnings,
            LargeAllocs = c.LargeAllocs,
            Caches = system.Caches.Statistics(),
            Mempools = system.Mempools.Statistics(),
            Shrinkers = [.. system.Shrinkers.Entries.Select(static e => new ShrinkerStats(e.Shrinker.Name, e.Scans, e.Stops, e.Freed))],
        };
        return WithNodes(stats, system.Pages.Nodes);
    }

    private static KmemStats WithNodes(KmemStats stats, ReadOnlySpan<MemoryNode> nodes)
    {
        var blocks = new int[MemoryNode.MaxOrder + 1];
        long lowest = 0;
        long events = 0;
        long pages = 0;
        foreach (MemoryNode node in nodes)
        {
            lowest += node.LowestFree;
            events += node.ReserveEvents;
            pages += node.ReservePages;
            for (int order = 0; order < blocks.Length; order++)
            {
                blocks[order] += node.Blocks(order);
            }
        }

        return stats with { LowestFreePages = lowest, ReserveEvents = events, ReservePages = pages, FreeBlocks = blocks };
    }
}
