namespace ZfsLite.Kmem;

/// <summary>What a page allocation may do (gfp_t). Made from <see cref="KmFlags"/> by <see cref="Gfp"/>.</summary>
[Flags]
public enum GfpMask
{
    /// <summary>Nothing: no reserve, no sleep.</summary>
    None = 0,

    /// <summary>__GFP_HIGH: may go to half of the min watermark.</summary>
    High = 1,

    /// <summary>__GFP_IO: reclaim may start I/O.</summary>
    Io = 2,

    /// <summary>__GFP_FS: reclaim may enter the file system.</summary>
    Fs = 4,

    /// <summary>__GFP_DIRECT_RECLAIM: may sleep and reclaim in its own thread.</summary>
    DirectReclaim = 8,

    /// <summary>__GFP_KSWAPD_RECLAIM: wakes kswapd.</summary>
    KswapdReclaim = 16,

    /// <summary>GFP_KERNEL.</summary>
    Kernel = Io | Fs | DirectReclaim | KswapdReclaim,
}
