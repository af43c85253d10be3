namespace ZfsLite.Kmem;

/// <summary>Live allocations that one place made from one cache.</summary>
public sealed record KmemLeak
{
    /// <summary>Name of the cache, or <see cref="SlabDebugSpec.LargeName"/>.</summary>
    public required string Cache { get; init; }

    /// <summary>The place: type, method, file and line.</summary>
    public required string Site { get; init; }

    /// <summary>Allocations.</summary>
    public long Count { get; init; }

    /// <summary>Their bytes, as they were asked for.</summary>
    public long Bytes { get; init; }

    /// <summary>Age of the oldest, nanoseconds.</summary>
    public long OldestNs { get; init; }

    /// <summary>Number of the thread that made the oldest.</summary>
    public int OldestThread { get; init; }
}
