namespace ZfsLite.Kmem;

/// <summary>
/// How a cache behaves (KMC_*), with the bits that SPL gave them. Upstream refused NOMAGAZINE, NOHASH and QCACHE, which it had
/// never built. Here a cache without magazines exists and is accepted; a hash and a quantum cache do not, and are refused, as are the
/// bits from 14 on, which upstream kept for a cache's state.
/// </summary>
[Flags]
public enum KmemCacheFlags
{
    /// <summary>Nothing special.</summary>
    None = 0,

    /// <summary>KMC_NOTOUCH: accepted, without effect, as upstream.</summary>
    NoTouch = 0x1,

    /// <summary>KMC_NODEBUG: not watched, whatever <see cref="KmemOptions.SlabDebug"/> says. Upstream accepted it without effect.</summary>
    NoDebug = 0x2,

    /// <summary>KMC_NOMAGAZINE: every object comes straight from a slab.</summary>
    NoMagazine = 0x4,

    /// <summary>KMC_NOHASH: refused.</summary>
    NoHash = 0x8,

    /// <summary>KMC_QCACHE: refused.</summary>
    QCache = 0x10,

    /// <summary>KMC_KMEM: slabs of contiguous pages.</summary>
    Kmem = 0x20,

    /// <summary>KMC_VMEM: slabs are mapped through vmalloc even when contiguous pages are at hand.</summary>
    Vmem = 0x40,

    /// <summary>KMC_SLAB: served by the host's allocator, which is the SLUB+Q engine here.</summary>
    Slab = 0x80,

    /// <summary>KMC_OFFSLAB: SPL engine: each object has pages of its own, the slab only lists them.</summary>
    OffSlab = 0x100,

    /// <summary>KMC_NOEMERGENCY: no emergency objects. Heeded under policy emergency alone: upstream ignored it soon after.</summary>
    NoEmergency = 0x200,
}
