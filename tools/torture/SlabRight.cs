namespace ZfsLite.Torture;

/// <summary>The rungs of the watermark ladder, from the top down.</summary>
internal enum SlabRight
{
    /// <summary>Down to min.</summary>
    Ordinary,

    /// <summary>__GFP_HIGH: down to half of min.</summary>
    High,

    /// <summary>__GFP_HIGH on the sync path: down to an eighth of min.</summary>
    Sync,

    /// <summary>PF_MEMALLOC: to the bottom.</summary>
    All,
}
