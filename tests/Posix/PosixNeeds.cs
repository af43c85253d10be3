namespace ZfsLite.Tests.Posix;

/// <summary>What a case needs besides a directory.</summary>
[Flags]
public enum PosixNeeds
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Root: it becomes other users, makes devices, sets flags or trusted attributes.</summary>
    Root = 1,

    /// <summary>A way to unmount the file system and mount it again.</summary>
    Remount = 2,

    /// <summary>A file system of at most <see cref="PosixTarget.SmallBytesMax"/>: it is filled to the brim.</summary>
    Small = 4,

    /// <summary>Minutes rather than moments.</summary>
    Time = 8,

    /// <summary>The directory is the root of a mount: the kernel is made to forget what it knows of it.</summary>
    MountPoint = 16,
}
