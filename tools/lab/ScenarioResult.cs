using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>How a run of a scenario ended.</summary>
internal sealed record ScenarioResult
{
    /// <summary>What it ran with, its seed among it.</summary>
    public required ScenarioOptions Options { get; init; }

    /// <summary>All work was done.</summary>
    public required bool Completed { get; init; }

    /// <summary>The proven deadlock, if there was one.</summary>
    public DeadlockReport? Deadlock { get; init; }

    /// <summary>What else went wrong; null: nothing.</summary>
    public string? Failure { get; init; }

    /// <summary>Counters.</summary>
    public required ScenarioCounters Counters { get; init; }

    /// <summary>Memory at the end of a completed run.</summary>
    public KmemStats? Memory { get; init; }

    /// <summary>Simulator steps; 0 on the operating system.</summary>
    public long Steps { get; init; }

    /// <summary>Hash over all decisions of the simulator.</summary>
    public ulong TraceHash { get; init; }

    /// <summary>Time passed, nanoseconds; virtual in the simulator.</summary>
    public long TimeNs { get; init; }
}
