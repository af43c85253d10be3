using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>How a race ended.</summary>
internal sealed record RaceResult
{
    /// <summary>What it ran with.</summary>
    public required RaceOptions Options { get; init; }

    /// <summary>All work was done.</summary>
    public required bool Completed { get; init; }

    /// <summary>The proven deadlock, if there was one.</summary>
    public DeadlockReport? Deadlock { get; init; }

    /// <summary>What else went wrong; null: nothing.</summary>
    public string? Failure { get; init; }

    /// <summary>The contested cache at the end of a completed run.</summary>
    public KmemCacheStats? Cache { get; init; }

    /// <summary>Time passed, virtual, nanoseconds.</summary>
    public long TimeNs { get; init; }
}
