namespace ZfsLite.Fs;

/// <summary>What an intent log has done since the mount.</summary>
public struct ZilogStats
{
    /// <summary>Commits asked for.</summary>
    public long Commits;

    /// <summary>Batches written for them.</summary>
    public long Batches;

    /// <summary>Log blocks written.</summary>
    public long BlocksWritten;

    /// <summary>Bytes of log written.</summary>
    public long BytesWritten;

    /// <summary>Records written.</summary>
    public long Records;

    /// <summary>Writes whose data went to their places, with only a pointer in the log.</summary>
    public long Indirect;

    /// <summary>Commits that waited for a txg instead.</summary>
    public long Synced;

    /// <summary>Records done again at the mount.</summary>
    public long Replayed;

    /// <summary>Log blocks allocated now.</summary>
    public long Blocks;

    /// <summary>Memory of changes that may have to be logged, bytes.</summary>
    public long ItxBytes;
}
