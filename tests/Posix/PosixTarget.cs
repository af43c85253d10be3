using System.Globalization;
using Mono.Unix.Native;

namespace ZfsLite.Tests.Posix;

/// <summary>The directory that cases run in, and what is known of its file system.</summary>
public sealed class PosixTarget
{
    /// <summary>A file system of at most so many bytes may be filled.</summary>
    public const long SmallBytesMax = 512L << 20;

    /// <summary>Looks at a directory.</summary>
    /// <param name="directory">An existing directory.</param>
    /// <param name="remount">Unmounts its file system and mounts it again at the same place; null: can't be done.</param>
    /// <param name="hasTime">Also cases that take minutes.</param>
    public PosixTarget(string directory, Action? remount = null, bool hasTime = true)
    {
        Directory = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        Remount = remount;
        Kind = KindOf(Directory, out bool isRoot);
        IsMountPoint = isRoot;
        if (Syscall.statvfs(Directory, out Statvfs stat) != 0)
        {
            throw new IOException($"{directory}: {Stdlib.GetLastError()}");
        }

        Has = (Syscall.geteuid() == 0 ? PosixNeeds.Root : 0) | (remount is null ? 0 : PosixNeeds.Remount) | (hasTime ? PosixNeeds.Time : 0)
            | (isRoot ? PosixNeeds.MountPoint : 0)
            | (stat.f_blocks * stat.f_frsize <= (ulong)SmallBytesMax ? PosixNeeds.Small : 0);
    }

    /// <summary>The directory, absolute.</summary>
    public string Directory { get; }

    /// <summary>Is the directory the root of a mount?</summary>
    public bool IsMountPoint { get; }

    /// <summary>Its file system.</summary>
    public FileSystemKind Kind { get; }

    /// <summary>What cases can have here.</summary>
    public PosixNeeds Has { get; }

    /// <summary>Unmounts and mounts again.</summary>
    public Action? Remount { get; }

    /// <summary>Why a case can't run here, or null.</summary>
    public string? ReasonToSkip(PosixCase posixCase)
    {
        ArgumentNullException.ThrowIfNull(posixCase);
        PosixNeeds missing = posixCase.Needs & ~Has;
        return (posixCase.Except & Kind) != 0 ? posixCase.Why
            : (missing & PosixNeeds.Root) != 0 ? "needs root"
            : (missing & PosixNeeds.Remount) != 0 ? "needs a way to remount (--unmount, --mount)"
            : (missing & PosixNeeds.MountPoint) != 0 ? "needs the root of a mount"
            : (missing & PosixNeeds.Small) != 0 ? $"fills the file system: only where that has at most {SmallBytesMax >> 20} MiB"
            : (missing & PosixNeeds.Time) != 0 ? "takes minutes (--slow)"
            : null;
    }

    /// <summary>The type in the mount table of the mount that the directory is on.</summary>
    private static FileSystemKind KindOf(string directory, out bool isMountPoint)
    {
        string type = string.Empty, best = string.Empty;
        foreach (string line in File.ReadLines("/proc/self/mountinfo"))
        {
            string[] words = line.Split(' ');
            string point = Unescape(words[4]);
            bool holds = point == "/" || directory == point || directory.StartsWith(point + "/", StringComparison.Ordinal);
            if (holds && point.Length >= best.Length)
            {
                best = point;
                type = words[Array.IndexOf(words, "-") + 1];
            }
        }

        isMountPoint = best == directory;
        return type switch
        {
            "ext4" => FileSystemKind.Ext4,
            "fuse.zfslite" => FileSystemKind.ZfsLite,
            _ => FileSystemKind.Other,
        };
    }

    /// <summary>mountinfo writes blanks and the like as three octal digits.</summary>
    private static string Unescape(string text)
    {
        int at = text.IndexOf('\\', StringComparison.Ordinal);
        if (at < 0 || at + 4 > text.Length)
        {
            return text;
        }

        int code = 0;
        foreach (char digit in text.AsSpan(at + 1, 3))
        {
            code = (code * 8) + (digit - '0');
        }

        return string.Create(CultureInfo.InvariantCulture, $"{text[..at]}{(char)code}{Unescape(text[(at + 4)..])}");
    }
}
