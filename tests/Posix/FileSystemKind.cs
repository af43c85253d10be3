namespace ZfsLite.Tests.Posix;

/// <summary>What file system a directory is on, as far as the cases must know: each says itself where it does not apply, and why.</summary>
[Flags]
public enum FileSystemKind
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Any that is not named here.</summary>
    Other = 1,

    /// <summary>ext4, the reference: blocks of 4096 bytes, inodes of 256, feature ea_inode.</summary>
    Ext4 = 2,

    /// <summary>ZfsLite on FUSE.</summary>
    ZfsLite = 4,
}
