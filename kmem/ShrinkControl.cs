namespace ZfsLite.Kmem;

/// <summary>What a direct reclaimer or kswapd lets a shrinker do.</summary>
/// <param name="MayEnterFs">__GFP_FS: the shrinker may open transactions and take file system locks.</param>
/// <param name="IsKswapd">The caller is kswapd.</param>
public readonly record struct ShrinkControl(bool MayEnterFs, bool IsKswapd)
{
    /// <summary>May the shrinker wait for a transaction? Never under policy fstrans: what needs one is handed to a worker. Under
    /// the policies of history it is <see cref="MayEnterFs"/>.</summary>
    public bool MayWaitForTx { get; init; } = MayEnterFs;
}
