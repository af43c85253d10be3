using System.Globalization;

namespace ZfsLite.Kmem;

/// <summary>The tunables of the SPL engine, with the names and defaults of its module parameters.</summary>
public sealed record SplEngineOptions
{
    /// <summary>spl_kmem_cache_slab_limit: caches of objects up to this size are KMC_SLAB, bytes. 0: none. 16384, or what
    /// ZFSLITE_SPL_SLAB_LIMIT says, for test runs.</summary>
    public int SlabLimit { get; init; } = LimitFromEnvironment();

    /// <summary>spl_kmem_cache_kmem_limit: objects, header included, up to this size live in contiguous pages, bytes.</summary>
    public int KmemLimit { get; init; } = 2048;

    /// <summary>spl_kmem_cache_obj_per_slab: objects that a slab should hold, 1 to 256.</summary>
    public int ObjectsPerSlab { get; init; } = 8;

    /// <summary>spl_kmem_cache_max_size: the largest slab, bytes. 0: 32 MiB, but no more than 1/64 of the arena or one object.</summary>
    public int MaxSlabBytes { get; init; }

    /// <summary>spl_kmem_cache_magazine_size: 2 to 256 objects; 0: by the size of the object, within a share of the arena.</summary>
    public int MagazineSize { get; init; }

    /// <summary>spl_kmem_cache_expire.</summary>
    public SplExpire Expire { get; init; } = SplExpire.Mem;

    /// <summary>spl_kmem_cache_reclaim, KMC_RECLAIM_ONCE: the shrinker ends reclaim of this cache after one pass.</summary>
    public bool ReclaimOnce { get; init; }

    /// <summary>spl_kmem_cache_kmem_threads: threads of the growth queue, 1 to 64.</summary>
    public int GrowthThreads { get; init; } = 4;

    /// <summary>How long an allocation waits for a growth before it asks for an emergency object, nanoseconds. 100 ms (HZ/10).</summary>
    public long GrowTimeoutNs { get; init; } = 100_000_000;

    /// <summary>Laboratory: the life of objects before October 2014. A constructor runs for every object when its slab is made, the
    /// destructor when the slab is given back; an empty slab is not given back at once but after 15 s, or by a reap, which
    /// looks at every partial slab for it. With <see cref="SplExpire.Age"/> it is what splat's slab_reap took 30 to 40 s on. Not together with
    /// slab debugging, which writes to objects that are to stay constructed.</summary>
    public bool SlabLife { get; init; }

    private static int LimitFromEnvironment() => Environment.GetEnvironmentVariable("ZFSLITE_SPL_SLAB_LIMIT") switch
    {
        null or "" => 16384,
        string text when int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int bytes) => bytes,
        string other => throw new ArgumentException($"ZFSLITE_SPL_SLAB_LIMIT={other}: a number of bytes is possible"),
    };

    /// <summary>Throws if a value is out of its range.</summary>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(SlabLimit);
        ArgumentOutOfRangeException.ThrowIfNegative(KmemLimit);
        ArgumentOutOfRangeException.ThrowIfLessThan(ObjectsPerSlab, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ObjectsPerSlab, 256);
        ArgumentOutOfRangeException.ThrowIfNegative(MaxSlabBytes);
        ArgumentOutOfRangeException.ThrowIfNegative(MagazineSize);
        ArgumentOutOfRangeException.ThrowIfLessThan(GrowthThreads, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(GrowthThreads, 64);
        ArgumentOutOfRangeException.ThrowIfLessThan(GrowTimeoutNs, 1);
    }
}
