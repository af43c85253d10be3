using System.Diagnostics;

namespace ZfsLite.Torture;

/// <summary>The daemon that is killed: started in the foreground, as a child of this process, so that it can be killed at any moment of its life.</summary>
internal sealed class KillDaemon : IDisposable
{
    private const int CommandSecondsMax = 120;
    private const string PoolName = "kill";

    private readonly KillSettings _settings;
    private Process? _daemon;
    private Task<string> _said = Task.FromResult("");

    internal KillDaemon(KillSettings settings) => _settings = settings;

    /// <summary>The mount point.</summary>
    internal string Mount => Path.Combine(_settings.Directory, "mnt");

    /// <summary>Is the other judge there?</summary>
    internal static bool HasZdb => new[] { "/usr/sbin/zdb", "/sbin/zdb", "/usr/local/sbin/zdb" }.Any(File.Exists);

    private string Pool => Path.Combine(_settings.Directory, "pool");

    private string[] Devices => Directory.GetFiles(Pool);

    /// <summary>Makes a new pool in place of the last one.</summary>
    internal void Create(bool withLog)
    {
        if (Directory.Exists(Pool))
        {
            Directory.Delete(Pool, recursive: true);
        }

        Directory.CreateDirectory(Pool);
        Directory.CreateDirectory(Mount);
        string[] log = withLog ? ["log", Path.Combine(Pool, "log.img")] : [];
        Must(["create", PoolName, Path.Combine(Pool, "d0.img"), .. log, "--size", "512M", "-o", "recordsize=16K"]);
    }

    /// <summary>Starts the daemon, and returns at once.</summary>
    internal void Start()
    {
        _daemon = Process.Start(Info(["mount", .. Devices, Mount, "--memory", "64M"]))!;
        _daemon.StandardInput.Close();
        _ = _daemon.StandardOutput.ReadToEndAsync();
        _said = _daemon.StandardError.ReadToEndAsync();
    }

    /// <summary>Waits until the file system can be used: everything was replayed.</summary>
    internal void AwaitMounted()
    {
        var clock = Stopwatch.StartNew();
        while (!IsMounted())
        {
            if (_daemon!.HasExited)
            {
                throw new KillFailureException($"the pool can't be mounted: exit code {_daemon.ExitCode}: {_said.GetAwaiter().GetResult().Trim()}");
            }

            if (clock.Elapsed.TotalSeconds > CommandSecondsMax)
            {
                throw new KillFailureException($"the pool is not mounted after {CommandSecondsMax} s");
            }

            Thread.Sleep(2);
        }
    }

    /// <summary>kill -9, and takes the dead mount away.</summary>
    internal void Kill()
    {
        if (_daemon!.HasExited)
        {
            throw new KillFailureException($"the daemon ended by itself, exit code {_daemon.ExitCode}: {_said.GetAwaiter().GetResult().Trim()}");
        }

        _daemon.Kill();
    }

    /// <summary>After a kill: the process is gone, and so is its mount.</summary>
    internal void CleanUp()
    {
        _daemon!.WaitForExit();
        _daemon.Dispose();
        _daemon = null;
        if (IsMounted())
        {
            Must("unmount", Mount);
        }
    }

    /// <summary>Unmounts as one does.</summary>
    internal void Unmount()
    {
        Must("unmount", Mount);
        if (!_daemon!.WaitForExit(CommandSecondsMax * 1000))
        {
            throw new KillFailureException("the daemon does not end after an unmount");
        }

        CleanUp();
    }

    /// <summary>Both judges, zdb if it is installed, of a pool that nobody has open.</summary>
    internal void Judge()
    {
        Must(["check", .. Devices]);
        if (!HasZdb)
        {
            return;
        }

        (int code, string text) = Run(["zdb", Pool, PoolName]);
        if (code != 0 || !text.Contains("No leaks", StringComparison.Ordinal))
        {
            throw new KillFailureException($"zdb is not content: exit code {code}: {text}");
        }
    }

    /// <summary>Leaves nothing running or mounted.</summary>
    public void Dispose()
    {
        if (_daemon is { } daemon)
        {
            daemon.Kill();
            daemon.WaitForExit();
            daemon.Dispose();
        }

        if (Directory.Exists(Mount) && IsMounted())
        {
            _ = Run(["unmount", Mount]);
        }
    }

    private bool IsMounted() => File.ReadAllText("/proc/self/mounts").Contains($" {Mount} ", StringComparison.Ordinal);

    private void Must(params string[] arguments)
    {
        (int code, string text) = Run(arguments);
        if (code != 0)
        {
            throw new KillFailureException($"zfslite {string.Join(' ', arguments)}: exit code {code}: {text}");
        }
    }

    private (int Code, string Text) Run(string[] arguments)
    {
        using Process process = Process.Start(Info(arguments))!;
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(CommandSecondsMax * 1000))
        {
            process.Kill();
            throw new KillFailureException($"zfslite {string.Join(' ', arguments)} hangs: not done after {CommandSecondsMax} s");
        }

        return (process.ExitCode, (output.GetAwaiter().GetResult() + error.GetAwaiter().GetResult()).Trim());
    }

    private ProcessStartInfo Info(string[] arguments)
    {
        var info = new ProcessStartInfo(_settings.Zfslite, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        if (_settings.RunDirectory is { } directory)
        {
            info.Environment["ZFSLITE_RUNDIR"] = directory;
        }

        return info;
    }
}
