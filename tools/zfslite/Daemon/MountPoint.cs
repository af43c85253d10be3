using System.Runtime.InteropServices;
using ZfsLite.Cli.Posix;

namespace ZfsLite.Cli;

/// <summary>Mount points as the kernel lists them.</summary>
internal static class MountPoint
{
    /// <summary>Refuses a directory that cannot be mounted on.</summary>
    internal static void Check(string directory)
    {
        if (Find(directory) is { } mounted)
        {
            throw new CliException(
                $"{directory} is already a mount point ({mounted.Type} from {mounted.Source})", $"type: zfslite unmount {directory}, or choose another directory");
        }

        if (File.Exists(directory))
        {
            throw new CliException($"{directory} is not a directory", "give an empty directory to mount on");
        }

        if (!Directory.Exists(directory))
        {
            throw new CliException($"the directory {directory} does not exist", $"type: mkdir -p {directory}");
        }

        if (!File.Exists("/dev/fuse"))
        {
            throw new CliException("/dev/fuse is not there: this kernel has no FUSE", "load it with: modprobe fuse");
        }
    }

    /// <summary>The topmost mount on a directory; null if nothing is mounted there.</summary>
    internal static (string Type, string Source)? Find(string directory)
    {
        (string, string)? found = null;
        foreach (string line in File.ReadLines("/proc/self/mountinfo"))
        {
            string[] fields = line.Split(' ');
            int dash = Array.IndexOf(fields, "-");
            if (dash > 4 && fields.Length > dash + 2 && Unescape(fields[4]) == directory)
            {
                found = (fields[dash + 1], Unescape(fields[dash + 2]));
            }
        }

        return found;
    }

    /// <summary>Takes a mount away whose daemon is gone: at once, whatever still has files open there.</summary>
    internal static void Detach(string directory)
    {
        int rc = Native.Umount2(directory, Native.MntDetach);
        if (rc != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            if (errno != Native.EPERM || Tool.Run("fusermount3", ["-u", "-z", directory]) != 0)
            {
                throw new CliException($"{directory} cannot be unmounted: {Native.Error(errno)}");
            }
        }
    }

    /// <summary>
    /// As <see cref="Detach"/>, for a process that is about to end: whatever comes of it. Only the mount of this FUSE connection is
    /// taken away, not what somebody may have mounted there since.
    /// </summary>
    internal static void TryDetach(string directory, int connection)
    {
        string device = $"0:{connection}";
        bool ours = File.ReadLines("/proc/self/mountinfo").Select(static l => l.Split(' ')).Any(f => f.Length > 4 && f[2] == device && Unescape(f[4]) == directory);
        if (ours && Native.Umount2(directory, Native.MntDetach) != 0)
        {
            _ = Tool.Run("fusermount3", ["-u", "-z", directory]);
        }
    }

    /// <summary>Unmounts; the kernel hands its dirty pages to the daemon first. An error if somebody uses the mount.</summary>
    internal static void Unmount(string directory)
    {
        if (Native.Umount2(directory, 0) == 0)
        {
            return;
        }

        int errno = Marshal.GetLastPInvokeError();
        if (errno == Native.EPERM && Tool.Run("fusermount3", ["-u", directory]) == 0)
        {
            return;
        }

        if (Find(directory) is null)
        {
            return;
        }

        throw errno is Native.EBUSY or Native.EPERM
            ? new CliException($"{directory} is in use: a process has a file open there, or stands in it", $"find it with: fuser -vm {directory}")
            : new CliException($"{directory} cannot be unmounted: {Native.Error(errno)}");
    }

    /// <summary>Changes the kernel's flags of a mount. Only root may.</summary>
    internal static void Remount(string directory, string source, MountOptions options, bool readOnly)
    {
        const nuint MsRemount = 32;
        nuint flags = MsRemount | (readOnly ? 1u : 0) | (options.Suid == true ? 0 : 2u) | (options.Dev == true ? 0 : 4u) | (options.Exec == false ? 8u : 0);
        if (Native.Mount(source, directory, "fuse.zfslite", flags, null) != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            throw new CliException(
                $"{directory} cannot be remounted: {Native.Error(errno)}", errno == Native.EPERM ? "only root may change ro, dev, suid and exec" : null);
        }
    }

    /// <summary>Undoes the octal escapes of /proc/self/mountinfo.</summary>
    internal static string Unescape(string field)
    {
        if (!field.Contains('\\', StringComparison.Ordinal))
        {
            return field;
        }

        var text = new System.Text.StringBuilder();
        for (int i = 0; i < field.Length; i++)
        {
            if (field[i] == '\\' && i + 3 < field.Length)
            {
                text.Append((char)Convert.ToInt32(field.Substring(i + 1, 3), 8));
                i += 3;
            }
            else
            {
                text.Append(field[i]);
            }
        }

        return text.ToString();
    }
}
