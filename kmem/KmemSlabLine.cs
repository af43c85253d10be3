namespace ZfsLite.Kmem;

/// <summary>
/// A line of /proc/spl/kmem/slab: what SPL shows of one cache. Null where SPL knows nothing either, because the cache's slabs are
/// the host allocator's (KMC_SLAB there, the SLUB+Q engine here).
/// </summary>
public sealed record KmemSlabLine
{
    /// <summary>Name of the cache.</summary>
    public required string Cache { get; init; }

    /// <summary>KMC_* flags, as a number.</summary>
    public int Flags { get; init; }

    /// <summary>Bytes of all slabs, each counted with the size of a full one.</summary>
    public long? Size { get; init; }

    /// <summary>Bytes of the objects that are out.</summary>
    public long Alloc { get; init; }

    /// <summary>Bytes of a slab.</summary>
    public long? SlabSize { get; init; }

    /// <summary>Bytes of an object.</summary>
    public long ObjectSize { get; init; }

    /// <summary>Slabs.</summary>
    public long? SlabTotal { get; init; }

    /// <summary>Slabs with an object out.</summary>
    public long? SlabAlloc { get; init; }

    /// <summary>The most slabs there were.</summary>
    public long? SlabMax { get; init; }

    /// <summary>Objects in all slabs.</summary>
    public long? ObjectTotal { get; init; }

    /// <summary>Objects out of their slabs. SPL counts those in magazines; of the host's caches it knows those that callers hold.</summary>
    public long ObjectAlloc { get; init; }

    /// <summary>The most objects that were out.</summary>
    public long? ObjectMax { get; init; }

    /// <summary>Allocations that waited for a growth in vain.</summary>
    public long? EmergencyDeadlock { get; init; }

    /// <summary>Emergency objects that are out.</summary>
    public long? EmergencyAlloc { get; init; }

    /// <summary>The most emergency objects there were.</summary>
    public long? EmergencyMax { get; init; }

    /// <summary>The line of a cache.</summary>
    public static KmemSlabLine Of(KmemCacheStats cache)
    {
        ArgumentNullException.ThrowIfNull(cache);
        bool spl = cache.Engine == SlabEngineKind.Spl;
        long objects = cache.ObjectsAllocated + (spl ? cache.ObjectsInMagazines : 0);
        var line = new KmemSlabLine
        {
            Cache = cache.Name,
            Flags = (int)cache.Flags,
            Alloc = cache.ObjectSize * objects,
            ObjectSize = cache.ObjectSize,
            ObjectAlloc = objects,
        };
        return !spl
            ? line
            : line with
            {
                Size = cache.SlabSize * cache.SlabsTotal,
                SlabSize = cache.SlabSize,
                SlabTotal = cache.SlabsTotal,
                SlabAlloc = cache.SlabsAllocated,
                SlabMax = cache.SlabsMax,
                ObjectTotal = cache.ObjectsTotal,
                ObjectMax = cache.ObjectsMax,
                EmergencyDeadlock = cache.GrowthDeadlocks,
                EmergencyAlloc = cache.Emergency,
                EmergencyMax = cache.EmergencyMax,
            };
    }
}
