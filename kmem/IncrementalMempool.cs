namespace ZfsLite.Kmem;

/// <summary>
/// Taking from one pool while holding an element of another, as the block layer of 2011 did: two threads that do it in opposite
/// orders wait for each other for ever, and so do two that take two elements each of the same pool. For the laboratory and tests; everywhere else
/// <see cref="Mempool.TakeAll"/> is the way, and the build refuses this one.
/// </summary>
public static unsafe class IncrementalMempool
{
    /// <summary>As <see cref="Mempool.Alloc"/>, whatever the thread holds.</summary>
    public static byte* AllocWhileHolding(Mempool pool, KmFlags flags)
    {
        ArgumentNullException.ThrowIfNull(pool);
        return pool.AllocUnchecked(flags);
    }
}
