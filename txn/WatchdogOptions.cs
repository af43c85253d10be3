namespace ZfsLite.Txn;

/// <summary>Tunables of the watchdog.</summary>
public sealed class WatchdogOptions
{
    /// <summary>Time between two looks, nanoseconds.</summary>
    public long IntervalNs { get; init; } = 500_000_000;

    /// <summary>A wait that has lasted this long is looked into, nanoseconds.</summary>
    public long LimitNs { get; init; } = 3_000_000_000;

    /// <summary>Time between the two captures of a proof, nanoseconds.</summary>
    public long SettleNs { get; init; } = 250_000_000;

    /// <summary>Every wait of a cycle must be at least this old, nanoseconds: longer than any timed wait that names owners.</summary>
    public long MinCycleAgeNs { get; init; } = 1_000_000_000;

    /// <summary>At most this many reports of slow waits per minute.</summary>
    public int SlowReportsPerMinute { get; init; } = 10;
}
