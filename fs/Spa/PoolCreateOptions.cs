namespace ZfsLite.Fs;

/// <summary>What a new pool should be like.</summary>
public sealed class PoolCreateOptions
{
    /// <summary>Name of the pool.</summary>
    public required string Name { get; init; }

    /// <summary>log2 of the smallest allocation, 9 to 13.</summary>
    public int Ashift { get; init; } = 9;

    /// <summary>Compression of the root dataset; null: the default.</summary>
    public ZioCompressType? Compression { get; init; }

    /// <summary>Checksum of the root dataset's data; null: the default.</summary>
    public ZioChecksumType? Checksum { get; init; }

    /// <summary>Largest block of a file, bytes; null: the default, 128 KiB.</summary>
    public int? RecordSize { get; init; }

    /// <summary>Do reads update the access time? null: the default, yes.</summary>
    public bool? Atime { get; init; }

    /// <summary>Copies of data; null: the default, 1.</summary>
    public int? Copies { get; init; }

    /// <summary>How changes wait for stable storage; null: the default, standard.</summary>
    public SyncMode? Sync { get; init; }

    /// <summary>Where the data of synchronous writes go; null: the default, latency.</summary>
    public LogBias? LogBias { get; init; }

    /// <summary>All guids and salts follow from this; 0: random.</summary>
    public ulong GuidSeed { get; init; }

    /// <summary>The pool is left exported, so that any host imports it without being told to.</summary>
    public bool Exported { get; init; } = true;

    /// <summary>Paths to record for the devices, in order; null: those they were opened by.</summary>
    public IReadOnlyList<string>? DevicePaths { get; init; }

    /// <summary>So many of the devices, at the end, are for the intent log alone.</summary>
    public int LogDevices { get; init; }

    /// <summary>User that the root directory belongs to.</summary>
    public uint OwnerUid { get; init; }

    /// <summary>Group that the root directory belongs to.</summary>
    public uint OwnerGid { get; init; }
}
