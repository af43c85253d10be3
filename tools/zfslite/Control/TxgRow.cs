namespace ZfsLite.Cli;

/// <summary>A line of <c>txgs</c>: one transaction group.</summary>
public sealed class TxgRow
{
    /// <summary>Its number.</summary>
    public ulong Txg { get; set; }

    /// <summary>open, quiescing, syncing or committed.</summary>
    public string State { get; set; } = "";

    /// <summary>Bytes of dirty data it took.</summary>
    public long DirtyBytes { get; set; }

    /// <summary>Milliseconds it was open.</summary>
    public double OpenMs { get; set; }

    /// <summary>Milliseconds it was quiescing.</summary>
    public double QuiesceMs { get; set; }

    /// <summary>Milliseconds it took to write.</summary>
    public double SyncMs { get; set; }
}
