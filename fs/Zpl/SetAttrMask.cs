namespace ZfsLite.Fs;

/// <summary>Which attributes a SetAttr changes.</summary>
[Flags]
public enum SetAttrMask
{
#pragma warning disable CS1591
    None = 0, Mode = 1, Uid = 2, Gid = 4, Size = 8, Atime = 16, Mtime = 32, AtimeNow = 64, MtimeNow = 128, Ctime = 256,

    /// <summary>Clear suid and sgid as a write or truncate by a non-owner would (FUSE *_KILL_SUIDGID).</summary>
    KillSuidgid = 512,

    /// <summary>Immutable, append-only, no-dump.</summary>
    Flags = 1024,
#pragma warning restore CS1591
}
