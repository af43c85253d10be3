namespace ZfsLite.Fs;

/// <summary>How to open a pool.</summary>
public sealed class SpaOpenOptions
{
    /// <summary>Never write.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Threads that compress and checksum; 0: one per CPU, 4 at most.</summary>
    public int Workers { get; init; }

    /// <summary>Dirty data limit in percent of the arena.</summary>
    public int DirtyPercent { get; init; } = 40;

    /// <summary>Longest life of an open txg with changes, seconds.</summary>
    public int TxgTimeoutSeconds { get; init; } = 5;

    /// <summary>Open the pool without log devices that are missing: records of the intent log that lie there are given up.</summary>
    public bool WithoutLog { get; init; }

    /// <summary>For tests: write to pools with snapshots and clones too.</summary>
    internal bool WriteWithSnapshots { get; init; }
}
