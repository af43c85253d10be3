namespace ZfsLite.Cli;

/// <summary>What the process returns. The README documents the same table.</summary>
public static class ExitCode
{
    /// <summary>Done.</summary>
    public const int Ok = 0;

    /// <summary>It could not be done; one line on standard error says why.</summary>
    public const int Failed = 1;

    /// <summary>Wrong use of the command; one line says what to type.</summary>
    public const int Usage = 2;

    /// <summary><c>check</c> walked the pool and found errors.</summary>
    public const int CheckFoundErrors = 3;

    /// <summary>The daemon proved a deadlock among its own threads, printed it, and ended without flushing.</summary>
    public const int Deadlock = 75;

    /// <summary>The daemon was told to end by a signal and could not close the pool; it said what it waited for, and ended without flushing.</summary>
    public const int Stuck = 76;
}
