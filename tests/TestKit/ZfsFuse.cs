using System.Diagnostics;

namespace ZfsLite.TestKit;

/// <summary>
/// A zfs-fuse daemon of our own: the other implementation, which must be able to use our pools. It is the only user of the
/// tools while it runs (<see cref="ZfsFuseTools.Lock"/>), mounts under a folder of its own, and leaves nothing behind:
/// Dispose exports what is still imported, ends the daemon by its pid and takes away what it had mounted.
/// </summary>
public sealed class ZfsFuse : IDisposable
{
    private const int CommandSeconds = 60;
    private const int BusyTries = 40;

    private readonly IDisposable _lock;
    private readonly Process _daemon;
    private readonly string _root;
    private readonly List<string> _imported = [];

    private ZfsFuse(IDisposable held, Process daemon, string root)
    {
        _lock = held;
        _daemon = daemon;
        _root = root;
    }

    /// <summary>Starts the daemon and waits until it answers.</summary>
    public static ZfsFuse Start()
    {
        IDisposable held = ZfsFuseTools.Lock();
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(ZfsFuseTools.Socket)!);
            File.Delete(ZfsFuseTools.Socket);
            string root = Directory.CreateTempSubdirectory("zfslite-zfs-fuse-").FullName;
            var start = new ProcessStartInfo("zfs-fuse", ["--no-daemon", "--no-kstat-mount", "-m", "64", "-v", "1", "-p", Path.Combine(root, "pid")])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            Process daemon = Process.Start(start)!;
            daemon.OutputDataReceived += static (_, _) => { };
            daemon.ErrorDataReceived += static (_, _) => { };
            daemon.BeginOutputReadLine();
            daemon.BeginErrorReadLine();
            var started = new ZfsFuse(held, daemon, root);
            started.AwaitSocket();
            return started;
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    /// <summary>Where a pool's root file system is mounted after Import.</summary>
    public string MountPoint(string pool) => Path.Combine(_root, "mnt", pool);

    /// <summary>Imports a pool whose devices lie in a folder (which must hold one copy of the pool only) and mounts it.</summary>
    public void Import(string folder, string pool, bool force = false)
    {
        Directory.CreateDirectory(Path.Combine(_root, "mnt"));
        string[] options = force ? ["-f"] : [];
        Zpool(["import", .. options, "-d", folder, "-o", "cachefile=none", "-R", Path.Combine(_root, "mnt"), pool]);
        _imported.Add(pool);
    }

    /// <summary>Exports a pool, again while it is busy.</summary>
    public void Export(string pool)
    {
        (int code, string output) = (0, "");
        for (int i = 0; i < BusyTries; i++)
        {
            (code, output) = ZfsFuseTools.Run("zpool", CommandSeconds, "export", pool);
            if (code == 0)
            {
                _imported.Remove(pool);
                return;
            }

            Thread.Sleep(100 + (i * 25));
        }

        throw new InvalidOperationException($"zpool export {pool}: exit {code}: {output}");
    }

    /// <summary>Runs zpool; any exit code but 0 throws with its output.</summary>
    public string Zpool(params string[] arguments) => Must("zpool", arguments);

    /// <summary>Runs zfs; any exit code but 0 throws with its output.</summary>
    public string Zfs(params string[] arguments) => Must("zfs", arguments);

    /// <summary>Starts a daemon, imports, runs an action on the mount point, exports, ends the daemon.</summary>
    public static void Use(string folder, string pool, Action<ZfsFuse, string> action)
    {
        using ZfsFuse z = Start();
        z.Import(folder, pool);
        action(z, z.MountPoint(pool));
        z.Export(pool);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        try
        {
            foreach (string pool in _imported.ToArray())
            {
                ZfsFuseTools.Run("zpool", CommandSeconds, "export", "-f", pool);
            }

            EndDaemon();
            foreach (string line in File.ReadAllLines("/proc/self/mounts"))
            {
                string target = line.Split(' ')[1];
                if (target.StartsWith(_root + "/", StringComparison.Ordinal))
                {
                    ZfsFuseTools.Run("umount", CommandSeconds, "-l", target);
                }
            }

            File.Delete(ZfsFuseTools.Socket);
            Directory.Delete(_root, recursive: true);
        }
        finally
        {
            _daemon.Dispose();
            _lock.Dispose();
        }
    }

    private static string Must(string tool, string[] arguments)
    {
        (int code, string output) = ZfsFuseTools.Run(tool, CommandSeconds, arguments);
        return code == 0 ? output : throw new InvalidOperationException($"{tool} {string.Join(' ', arguments)}: exit {code}: {output}");
    }

    private void AwaitSocket()
    {
        for (int i = 0; i < 200; i++)
        {
            if (_daemon.HasExited)
            {
                throw new InvalidOperationException($"zfs-fuse ended at once with exit code {_daemon.ExitCode}");
            }

            if (File.Exists(ZfsFuseTools.Socket) && ZfsFuseTools.Run("zpool", 10, "list", "-H", "-o", "name").ExitCode == 0)
            {
                return;
            }

            Thread.Sleep(50);
        }

        EndDaemon();
        throw new InvalidOperationException("zfs-fuse does not answer");
    }

    private void EndDaemon()
    {
        if (!_daemon.HasExited)
        {
            ZfsFuseTools.Run("kill", 5, "-TERM", _daemon.Id.ToString());
            if (!_daemon.WaitForExit(10_000))
            {
                _daemon.Kill();
                _daemon.WaitForExit();
            }
        }
    }
}
