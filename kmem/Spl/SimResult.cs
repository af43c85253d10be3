namespace ZfsLite.Kmem.Spl;

/// <summary>How a simulated run went.</summary>
public sealed record SimResult
{
    /// <summary>How it ended.</summary>
    public required SimOutcome Outcome { get; init; }

    /// <summary>The options that replay it.</summary>
    public required SimOptions Options { get; init; }

    /// <summary>The seed.</summary>
    public ulong Seed => Options.Seed;

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
        string how = Options.Strategy == SimStrategy.Pct ? $"pct {Options.PctDepth}/{Options.PctHorizon}" : $"random {Options.SwitchProbability:0.###}";
        string text = $"{Outcome}, seed {Seed} ({how}), {Steps} steps, {EndTimeNs} ns, trace {TraceHash:x16}";
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
