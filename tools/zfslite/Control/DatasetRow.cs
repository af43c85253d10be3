namespace ZfsLite.Cli;

/// <summary>A line of <c>list</c>.</summary>
public sealed class DatasetRow
{
    /// <summary>Full name: pool/fs or pool/fs@snap.</summary>
    public string Name { get; set; } = "";

    /// <summary>"filesystem", "snapshot" or "volume".</summary>
    public string Type { get; set; } = "";

    /// <summary>Bytes charged to it and all below it.</summary>
    public long Used { get; set; }

    /// <summary>Bytes it may still take; null for snapshots.</summary>
    public long? Available { get; set; }

    /// <summary>Bytes it refers to.</summary>
    public long Referenced { get; set; }

    /// <summary>Where it is mounted by this daemon; null if it is not.</summary>
    public string? MountPoint { get; set; }
}
