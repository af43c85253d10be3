namespace ZfsLite.Kmem;

/// <summary>The figures of one cache at one moment.</summary>
public sealed record KmemCacheStats
{
    /// <summary>Name of the cache.</summary>
    public required string Name { get; init; }

    /// <summary>The cache whose slabs it shares, which shows the figures of slabs for both; null: its own.</summary>
    public string? SharesSlabsOf { get; init; }

    /// <summary>Caches that share its slabs.</summary>
    public IReadOnlyList<string> Aliases { get; init; } = [];

    /// <summary>Bytes of an object.</summary>
    public int ObjectSize { get; init; }

    /// <summary>Bytes of a slab of the best size.</summary>
    public int SlabSize { get; init; }

    /// <summary>Slabs.</summary>
    public long SlabsTotal { get; init; }

    /// <summary>Slabs with at least one object taken.</summary>
    public long SlabsAllocated { get; init; }

    /// <summary>The most slabs there were.</summary>
    public long SlabsMax { get; init; }

    /// <summary>Objects in all slabs.</summary>
    public long ObjectsTotal { get; init; }

    /// <summary>Objects that callers hold.</summary>
    public long ObjectsAllocated { get; init; }

    /// <summary>The most objects that were out of the slabs, magazines included.</summary>
    public long ObjectsMax { get; init; }

    /// <summary>Objects ready in magazines and, with the cache that shows the slabs, in the queues behind them.</summary>
    public long ObjectsInMagazines { get; init; }

    /// <summary>Bytes of all slabs.</summary>
    public long Bytes { get; init; }

    /// <summary>Objects that a magazine holds.</summary>
    public int MagazineSize { get; init; }

    /// <summary>Times a magazine was filled from slabs.</summary>
    public long Refills { get; init; }

    /// <summary>Allocations that failed (KM_NOSLEEP).</summary>
    public long Failures { get; init; }

    /// <summary>Allocations over all time.</summary>
    public long Allocs { get; init; }

    /// <summary>Frees over all time.</summary>
    public long Frees { get; init; }

    /// <summary>The engine that makes the slabs.</summary>
    public SlabEngineKind Engine { get; init; }

    /// <summary>KMC_* flags.</summary>
    public KmemCacheFlags Flags { get; init; }

    /// <summary>Emergency objects that are out (SPL).</summary>
    public long Emergency { get; init; }

    /// <summary>The most emergency objects there were (SPL).</summary>
    public long EmergencyMax { get; init; }

    /// <summary>Allocations that waited for a growth in vain (SPL: dlock).</summary>
    public long GrowthDeadlocks { get; init; }
}
