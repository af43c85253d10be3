namespace ZfsLite.Kmem.Spl;

/// <summary>How a simulated run went.</summary>
public sealed record SimResult
{
    /// <summary>How it ended.</summary>
    public required SimOutcome Outcome { get; init; }

    /// <summary>The seed that replays it.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Scheduling points passed.</summary>
    public required long Steps { get; init; }

    /// <summary>Hash over all decisions: equal runs have equal hashes.</summary>
    public required ulong TraceHash { get; init; }

    /// <summary>Virtual time at the end, nanoseconds.</summary>
    public required long EndTimeNs { get; init; }

    /// <summary>The exception, and the thread it ended, if the run failed.</summary>
    public Exception? Failure { get; init; }

    /// <summary>The thread that failed.</summary>
    public string? FailedThread { get; init; }

    /// <summary>Who was blocked when a run ended by deadlock, failure or step limit.</summary>
    public IReadOnlyList<SimBlocked> Blocked { get; init; } = [];

    /// <summary>Threads still alive when the main body returned.</summary>
    public IReadOnlyList<string> Leftover { get; init; } = [];

    /// <inheritdoc/>
    public override string ToString()
    {
        string text = $"{Outcome}, seed {Seed}, {Steps} steps, {EndTimeNs} ns, trace {TraceHash:x16}";
        if (Failure is not null)
        {
            text += $"\nin {FailedThread}: {Failure}";
        }

        foreach (SimBlocked b in Blocked)
        {
            text += "\n" + b;
        }

        return text;
    }
}
