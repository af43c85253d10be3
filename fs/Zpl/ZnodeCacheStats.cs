namespace ZfsLite.Fs;

/// <summary>What happened to znodes in memory, since the mount.</summary>
public struct ZnodeCacheStats
{
    /// <summary>Znodes in memory now.</summary>
    public long InMemory;

    /// <summary>Of these, unused ones.</summary>
    public long Unused;

    /// <summary>Waiting in the inactive queue now.</summary>
    public long InactiveQueued;

    /// <summary>Evicted with nothing to write.</summary>
    public long EvictedClean;

    /// <summary>Access times written by a reclaiming thread, in a transaction of its own: what can deadlock (policies none and txcookie).</summary>
    public long EvictedInReclaimWithTx;

    /// <summary>Handed to the inactive queue by reclaim, which may not wait for a transaction.</summary>
    public long HandedToInactiveQueue;

    /// <summary>Kept because the inactive queue was full.</summary>
    public long InactiveQueueFull;

    /// <summary>Written and evicted by the worker of the inactive queue.</summary>
    public long InactiveDrained;
}
