namespace ZfsLite.Cli;

/// <summary>The result of <c>check</c>.</summary>
public sealed class CheckInfo
{
    /// <summary>Name of the pool.</summary>
    public string Pool { get; set; } = "";

    /// <summary>True if nothing was wrong.</summary>
    public bool Clean { get; set; }

    /// <summary>The txg that was walked.</summary>
    public ulong Txg { get; set; }

    /// <summary>Block pointers walked.</summary>
    public long Blocks { get; set; }

    /// <summary>Bytes they have allocated.</summary>
    public long Bytes { get; set; }

    /// <summary>Files, directories and others looked at.</summary>
    public long Objects { get; set; }

    /// <summary>Datasets walked.</summary>
    public long Datasets { get; set; }

    /// <summary>Errors in all; the list below may be shorter.</summary>
    public long ErrorCount { get; set; }

    /// <summary>One line for each error, as many as are kept.</summary>
    public List<string> Errors { get; set; } = [];

    /// <summary>Remarks that are not errors.</summary>
    public List<string> Notes { get; set; } = [];

    /// <summary>Seconds it took.</summary>
    public double Seconds { get; set; }
}
