namespace ZfsLite.Kmem;

/// <summary>The figures of one memory pool at one moment.</summary>
public sealed record MempoolStats
{
    /// <summary>Name of the pool.</summary>
    public required string Name { get; init; }

    /// <summary>Bytes of an element.</summary>
    public long ElementBytes { get; init; }

    /// <summary>Elements that the reserve is to have.</summary>
    public int MinElements { get; init; }

    /// <summary>Elements in the reserve now.</summary>
    public int InReserve { get; init; }

    /// <summary>The fewest there have been in it.</summary>
    public int LowWater { get; init; }

    /// <summary>Elements that callers hold; those drawn for good are not counted.</summary>
    public long Out { get; init; }

    /// <summary>Elements given out over all time.</summary>
    public long Allocs { get; init; }

    /// <summary>Of them, those that came from the reserve.</summary>
    public long FromReserve { get; init; }

    /// <summary>Of them, those that came from the allocator at the second attempt, with the caller's full rights.</summary>
    public long FromRetry { get; init; }

    /// <summary>Elements put back into the reserve.</summary>
    public long Refills { get; init; }

    /// <summary>Requests that did not wait and got nothing.</summary>
    public long Refused { get; init; }

    /// <summary>Waits for an element.</summary>
    public long Waits { get; init; }

    /// <summary>Time they took, nanoseconds.</summary>
    public long WaitNs { get; init; }

    /// <summary>Requests that might have waited by a thread that held an element of a pool it must not hold then.</summary>
    public long Violations { get; init; }
}
