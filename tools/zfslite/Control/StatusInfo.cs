namespace ZfsLite.Cli;

/// <summary>What <c>status</c> shows of a pool.</summary>
public sealed class StatusInfo
{
    /// <summary>Name of the pool.</summary>
    public string Pool { get; set; } = "";

    /// <summary>Guid, hexadecimal.</summary>
    public string Guid { get; set; } = "";

    /// <summary>"mounted", "online" (opened by this command), "SUSPENDED" or "FAILED".</summary>
    public string State { get; set; } = "";

    /// <summary>Why the pool is suspended or has failed, since when, and what to type; null if it is not.</summary>
    public string? Suspended { get; set; }

    /// <summary>Why the pool is read-only; null if it is not.</summary>
    public string? ReadOnly { get; set; }

    /// <summary>Pool version.</summary>
    public long Version { get; set; }

    /// <summary>Paths of the devices that hold data.</summary>
    public List<string> Devices { get; set; } = [];

    /// <summary>Paths of the devices for the intent log.</summary>
    public List<string> LogDevices { get; set; } = [];

    /// <summary>Where it is mounted; null if it is not.</summary>
    public string? MountPoint { get; set; }

    /// <summary>The dataset that is mounted.</summary>
    public string? Dataset { get; set; }

    /// <summary>Options in force.</summary>
    public string? Options { get; set; }

    /// <summary>Process id of the daemon; 0 if there is none.</summary>
    public int Pid { get; set; }

    /// <summary>The last txg on stable storage.</summary>
    public ulong Txg { get; set; }

    /// <summary>Bytes that can be allocated in all.</summary>
    public long Size { get; set; }

    /// <summary>Bytes allocated.</summary>
    public long Allocated { get; set; }

    /// <summary>Bytes free.</summary>
    public long Free { get; set; }

    /// <summary>Bytes of dirty data not yet written.</summary>
    public long Dirty { get; set; }

    /// <summary>Reads, writes and flushes that failed since the pool was opened.</summary>
    public long IoErrors { get; set; }

    /// <summary>Checksum errors met since the pool was opened.</summary>
    public long ChecksumErrors { get; set; }

    /// <summary>The intent log; null where there is none.</summary>
    public LogInfo? Log { get; set; }

    /// <summary>Size of the arena, bytes.</summary>
    public long Arena { get; set; }

    /// <summary>Memory policy.</summary>
    public string? Policy { get; set; }

    /// <summary>Engine of slab caches.</summary>
    public string? SlabEngine { get; set; }

    /// <summary>What the user should know: memory that could not be locked, and the like.</summary>
    public List<string> Warnings { get; set; } = [];
}
