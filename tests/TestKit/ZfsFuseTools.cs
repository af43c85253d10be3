using System.Diagnostics;
using System.Net.Sockets;

namespace ZfsLite.TestKit;

/// <summary>
/// What tests share that run the tools of zfs-fuse. Those tools talk to one fixed socket, so only one user may be at work on
/// the machine: a lock file keeps processes apart, a semaphore the threads of this one.
/// </summary>
public static class ZfsFuseTools
{
    /// <summary>The socket that zdb, zpool and zfs connect to.</summary>
    public const string Socket = "/var/run/zfs/zfs_socket";

    private const string LockFile = "/tmp/zfslite-zdb.lock";
    private static readonly SemaphoreSlim s_threads = new(1, 1);

    /// <summary>Why the tools can't be used here; null if they can.</summary>
    public static string? Missing { get; } = FindMissing();

    /// <summary>Takes the machine-wide lock; disposing of the result gives it back.</summary>
    public static IDisposable Lock()
    {
        s_threads.Wait();
        long deadline = Environment.TickCount64 + 600_000;
        while (true)
        {
            try
            {
                return new Held(new FileStream(LockFile, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
            }
            catch (IOException) when (Environment.TickCount64 < deadline)
            {
                Thread.Sleep(50);
            }
        }
    }

    /// <summary>Runs zdb -bcc on a pool whose devices lie in a folder: every block read, every checksum, no leak.</summary>
    /// <returns>Exit code and output; exit code 0 and "No leaks" in the output mean a clean pool.</returns>
    public static (int ExitCode, string Output) ZdbCheck(string folder, string pool, params string[] more)
    {
        using IDisposable held = Lock();
        Directory.CreateDirectory(Path.GetDirectoryName(Socket)!);
        File.Delete(Socket);
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(Socket));
        listener.Listen(16);
        try
        {
            string[] what = more.Length > 0 ? more : ["-bcc"];
            return Run("zdb", 300, ["-U", "/nonexistent", .. what, "-e", "-p", folder, pool]);
        }
        finally
        {
            File.Delete(Socket);
        }
    }

    /// <summary>Runs a command; a time-out kills it and gives exit code -1.</summary>
    public static (int ExitCode, string Output) Run(string file, int timeoutSeconds, params string[] arguments)
    {
        var start = new ProcessStartInfo(file, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        using Process p = Process.Start(start)!;
        p.StandardInput.Close();
        Task<string> err = p.StandardError.ReadToEndAsync();
        Task<string> output = p.StandardOutput.ReadToEndAsync();
        if (!p.WaitForExit(timeoutSeconds * 1000))
        {
            p.Kill();
            p.WaitForExit();
            return (-1, $"{file} did not end within {timeoutSeconds} s\n{output.Result}{err.Result}");
        }

        return (p.ExitCode, output.Result + err.Result);
    }

    private static string? FindMissing()
    {
        if (Environment.UserName != "root")
        {
            return "the tools of zfs-fuse need root";
        }

        foreach (string tool in (string[])["/usr/sbin/zdb", "/usr/sbin/zpool", "/usr/sbin/zfs", "/dev/fuse"])
        {
            if (!File.Exists(tool))
            {
                return $"{tool} is not here (Debian package zfs-fuse)";
            }
        }

        return null;
    }

    private sealed class Held(FileStream file) : IDisposable
    {
        public void Dispose()
        {
            file.Dispose();
            s_threads.Release();
        }
    }
}
