namespace ZfsLite.Kmem;

/// <summary>How a cache behaves (KMC_*).</summary>
[Flags]
public enum KmemCacheFlags
{
    /// <summary>Nothing special.</summary>
    None = 0,

    /// <summary>KMC_NOMAGAZINE: every object comes straight from a slab.</summary>
    NoMagazine = 2,

    /// <summary>KMC_VMEM: slabs are mapped through vmalloc even when contiguous pages are at hand.</summary>
    Vmem = 0x40,
}
