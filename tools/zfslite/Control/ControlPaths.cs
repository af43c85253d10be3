using System.Globalization;
using ZfsLite.Cli.Posix;

namespace ZfsLite.Cli;

/// <summary>Where the sockets, logs and deadlock reports of daemons lie: a directory that only its owner may write to.</summary>
public static class ControlPaths
{
    /// <summary>The directory: $ZFSLITE_RUNDIR, or /run/zfslite for root, or $XDG_RUNTIME_DIR/zfslite, or /tmp/zfslite-UID.</summary>
    public static string Directory
    {
        get
        {
            if (Environment.GetEnvironmentVariable("ZFSLITE_RUNDIR") is { Length: > 0 } given)
            {
                return given;
            }

            uint uid = Native.GetEUid();
            if (uid == 0)
            {
                return "/run/zfslite";
            }

            string? runtime = Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR");
            return string.IsNullOrEmpty(runtime)
                ? string.Create(CultureInfo.InvariantCulture, $"/tmp/zfslite-{uid}")
                : Path.Combine(runtime, "zfslite");
        }
    }

    /// <summary>Makes the directory, mode 0700, and refuses one that belongs to somebody else.</summary>
    public static string Ensure()
    {
        string directory = Directory;
        try
        {
            System.IO.Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"cannot make {directory}: {CliException.OneLine(e.Message)}", "set ZFSLITE_RUNDIR to a directory of your own");
        }

        if (Native.OwnerOf(directory) is { } owner && owner != Native.GetEUid())
        {
            throw new CliException($"{directory} belongs to user {owner}", "set ZFSLITE_RUNDIR to a directory of your own");
        }

        return directory;
    }

    /// <summary>Socket of the daemon with this pool and process id.</summary>
    public static string SocketFor(string pool, int pid) =>
        Path.Combine(Directory, string.Create(CultureInfo.InvariantCulture, $"{Safe(pool)}-{pid}.sock"));

    /// <summary>Every socket there is, living or stale.</summary>
    public static IReadOnlyList<string> Sockets()
    {
        try
        {
            string[] found = System.IO.Directory.GetFiles(Directory, "*.sock");
            Array.Sort(found, StringComparer.Ordinal);
            return found;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    /// <summary>A pool name as part of a file name: at most 40 harmless characters (a socket path has room for 107 bytes).</summary>
    public static string Safe(string pool)
    {
        IEnumerable<char> kept = pool.Take(40).Select(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' ? c : '_');
        return string.Concat(kept);
    }
}
