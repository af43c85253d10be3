namespace ZfsLite.Fs;

/// <summary>What a write to a file is, besides its bytes.</summary>
[Flags]
public enum ZplWriteFlags
{
    /// <summary>A write as a program made it.</summary>
    None = 0,

    /// <summary>The suid and sgid bits go, as after a write by somebody else.</summary>
    KillSuidgid = 1,

    /// <summary>
    /// Pages that the kernel's writeback cache kept for a while. The kernel owns mtime and ctime, and tells them by setattr
    /// unless they are what it was told last.
    /// </summary>
    Cached = 2,

    /// <summary>O_SYNC or O_DSYNC: it returns when the bytes are on stable storage.</summary>
    Sync = 4,
}
