namespace ZfsLite.Fs;

/// <summary>Attributes of a file, as stat(2) shows them.</summary>
public struct ZnodeAttr
{
    /// <summary>Object number = inode number = FUSE node id.</summary>
    public ulong Object;

    /// <summary>Generation (txg of creation).</summary>
    public ulong Generation;

    /// <summary>Full st_mode.</summary>
    public uint Mode;

    /// <summary>Hard links.</summary>
    public uint Links;

    /// <summary>Owner.</summary>
    public uint Uid;

    /// <summary>Group.</summary>
    public uint Gid;

    /// <summary>Device number, Linux makedev32 form.</summary>
    public uint Rdev;

    /// <summary>Size in bytes.</summary>
    public ulong Size;

    /// <summary>512-byte blocks used.</summary>
    public ulong Blocks;

    /// <summary>Preferred I/O size: the block size of the file.</summary>
    public uint BlockSize;

    /// <summary>What it allows, beyond its mode.</summary>
    public ZnodeFlags Flags;

    /// <summary>Times: seconds and nanoseconds.</summary>
    public long AtimeSec, MtimeSec, CtimeSec, CrtimeSec;

    /// <summary>Times: seconds and nanoseconds.</summary>
    public uint AtimeNsec, MtimeNsec, CtimeNsec, CrtimeNsec;
}
