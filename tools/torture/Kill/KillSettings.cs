namespace ZfsLite.Torture;

/// <summary>What a run of kills was asked for.</summary>
internal sealed record KillSettings
{
    /// <summary>The program under test.</summary>
    public required string Zfslite { get; init; }

    /// <summary>Where the pool and the mount point lie. Must not exist; gone after a run that passed.</summary>
    public required string Directory { get; init; }

    /// <summary>What is chosen at random follows from this.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Kills in all; null: until the time is up.</summary>
    public required long? Kills { get; init; }

    /// <summary>How long at most; null: as long as it takes.</summary>
    public TimeSpan? Time { get; init; }

    /// <summary>Where the state is kept; null: nowhere.</summary>
    public string? StateFile { get; init; }

    /// <summary>Kills between two new pools; every other pool has a log device.</summary>
    public int KillsPerPool { get; init; } = 20;

    /// <summary>One in so many kills, zfslite check and zdb look at what it left, before the replay.</summary>
    public int ChecksOneIn { get; init; } = 5;

    /// <summary>Longest time between a mount and the kill, milliseconds.</summary>
    public int WorkMsMax { get; init; } = 1500;

    /// <summary>Where the control sockets of the daemons lie; null: where they do by default.</summary>
    public string? RunDirectory { get; init; }

    /// <summary>For tests: an operation counts as acknowledged before it was committed.</summary>
    public bool AckEarly { get; init; }
}
