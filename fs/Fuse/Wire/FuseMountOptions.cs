namespace ZfsLite.Fs;

/// <summary>Where and how to mount.</summary>
public sealed class FuseMountOptions
{
    /// <summary>The directory.</summary>
    public required string MountPoint { get; init; }

    /// <summary>What mount(8) and df show as the device: the pool, or the dataset.</summary>
    public required string Source { get; init; }

    /// <summary>Mount read-only.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>
    /// Other users than the mounting one may enter. Null: yes for root, no for an ordinary user (who needs user_allow_other in
    /// /etc/fuse.conf).
    /// </summary>
    public bool? AllowOther { get; init; }

    /// <summary>Device files work. Only root may ask for it.</summary>
    public bool Dev { get; init; }

    /// <summary>Set-id bits work. Only root may ask for it.</summary>
    public bool Suid { get; init; }

    /// <summary>No program may be executed from it.</summary>
    public bool NoExec { get; init; }

    /// <summary>Mount through fusermount3 even as root.</summary>
    public bool UseFusermount { get; init; }

    /// <summary>Use the kernel's writeback cache.</summary>
    public bool WritebackCache { get; init; } = true;

    /// <summary>How long an asked-for unmount waits for open files to be closed, nanoseconds.</summary>
    public long UnmountGraceNs { get; init; } = 10_000_000_000;

    /// <summary>Where each request is traced, or null.</summary>
    public TextWriter? Trace { get; init; }

    /// <summary>Where trouble is reported, or null.</summary>
    public TextWriter? Log { get; init; }
}
