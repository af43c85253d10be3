namespace ZfsLite.Cli;

/// <summary>What the intent log of a mount has done.</summary>
public sealed class LogInfo
{
    /// <summary>The sync property in force.</summary>
    public string Sync { get; set; } = "";

    /// <summary>Commits asked for (fsync, synchronous writes).</summary>
    public long Commits { get; set; }

    /// <summary>Batches written for them.</summary>
    public long Batches { get; set; }

    /// <summary>Records written.</summary>
    public long Records { get; set; }

    /// <summary>Bytes of log written.</summary>
    public long BytesWritten { get; set; }

    /// <summary>Writes of which the log has only a pointer.</summary>
    public long Indirect { get; set; }

    /// <summary>Commits that waited for a txg instead.</summary>
    public long Synced { get; set; }

    /// <summary>Records done again at the mount.</summary>
    public long Replayed { get; set; }

    /// <summary>Log blocks allocated now.</summary>
    public long Blocks { get; set; }
}
