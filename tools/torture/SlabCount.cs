namespace ZfsLite.Torture;

/// <summary>What schedules of the slab model are counted by.</summary>
internal enum SlabCount
{
    /// <summary>Schedules that held.</summary>
    Schedules,

    /// <summary>Scheduling points.</summary>
    Steps,

    /// <summary>Objects handed out.</summary>
    Allocations,

    /// <summary>Objects given back.</summary>
    Frees,

    /// <summary>KM_NOSLEEP allocations that got nothing.</summary>
    Refused,

    /// <summary>Sleeping allocations that gave up, in worlds where nobody gives memory back.</summary>
    Exhausted,

    /// <summary>Objects of tagged slabs that entitled threads got.</summary>
    FromReserve,

    /// <summary>Page allocations that went below min, each by somebody who may.</summary>
    BelowMin,

    /// <summary>Waits for a growth that took too long.</summary>
    GrowthDeadlocks,

    /// <summary>Growths that failed.</summary>
    GrowthFailures,

    /// <summary>Objects that were emergency objects.</summary>
    EmergencyObjects,

    /// <summary>Caches made and ended in the middle.</summary>
    CachesMade,

    /// <summary>Of these, those that shared the slabs of another.</summary>
    CachesMerged,

    /// <summary>Attributes set while the cache was in use.</summary>
    Tunings,

    /// <summary>Reaps, by whatever way.</summary>
    Reaps,

    /// <summary>Objects that reclaim callbacks gave back.</summary>
    GivenBack,

    /// <summary>Direct reclaims.</summary>
    DirectReclaims,

    /// <summary>Times kswapd was woken.</summary>
    KswapdWakes,

    /// <summary>Allocations that made the queue of another node's objects grow (SLUB+Q).</summary>
    FreedAlien,

    /// <summary>Attempts to destroy a cache with live objects, which were refused and named them.</summary>
    DestroysRefused,
}
