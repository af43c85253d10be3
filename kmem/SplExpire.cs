namespace ZfsLite.Kmem;

/// <summary>When objects in magazines of the SPL engine go back to their slabs (spl_kmem_cache_expire).</summary>
[Flags]
public enum SplExpire
{
    /// <summary>Only when a magazine overflows.</summary>
    None = 0,

    /// <summary>KMC_EXPIRE_AGE: half of a magazine that was not used for 15 s.</summary>
    Age = 1,

    /// <summary>KMC_EXPIRE_MEM: when memory is reclaimed, the magazine of the reclaiming thread's CPU.</summary>
    Mem = 2,
}
