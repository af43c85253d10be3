using System.Text;
using ZfsLite.Cli.Posix;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Cli;

/// <summary>
/// How a daemon ends that cannot go on: it says why, breaks the FUSE connection so that nobody stays hung in the kernel, takes
/// the mount away, and leaves at once. Nothing is flushed: the threads that would have to do it are those that are stuck, and the
/// last uberblock on disk is a whole pool.
/// </summary>
internal sealed class DeadlockExit(MountSettings settings, string pool, FuseServer server, string socketPath, Func<IEnumerable<KeyValuePair<string, long>>> counters, TextWriter log)
{
    /// <summary>Called by the watchdog with the proof.</summary>
    internal void Run(DeadlockReport report)
    {
        string basePath = Path.Combine(ControlPaths.Directory, $"deadlock-{ControlPaths.Safe(pool)}-{Environment.ProcessId}");
        string svg = settings.DeadlockSvg ?? basePath + ".svg";
        log.WriteLine(report.ToText());
        log.WriteLine(Counters());
        string? failed = Write(svg, report.ToSvg()) ?? Write(basePath + ".txt", report.ToText()) ?? Write(basePath + ".json", report.ToJson());
        log.WriteLine(failed is null ? $"zfslite: the picture is in {svg}, the report in {basePath}.txt and .json" : $"zfslite: {failed}");
        Leave($"pool {pool}: {report.Summary}; the connection is aborted, nothing is flushed, the pool opens as it was last synced", ExitCode.Deadlock);
    }

    /// <summary>Called when the daemon was told to end and can't: nobody has proved why, but who waits for whom is on record.</summary>
    /// <param name="why">What made it give up, one clause.</param>
    internal void Stuck(string why)
    {
        const int WaitsNamed = 3;
        const long YoungestNs = 1_000_000_000;
        List<SlowWait> waits = [.. WaitGraph.Capture().SlowWaits(YoungestNs).OrderByDescending(static w => w.WaitedNs)];
        string path = Path.Combine(ControlPaths.Directory, $"stuck-{ControlPaths.Safe(pool)}-{Environment.ProcessId}.txt");
        string named = waits.Count == 0 ? "no thread waits for another" : string.Join("; ", waits.Take(WaitsNamed).Select(static w => w.ToLine()));
        string more = waits.Count > WaitsNamed ? $"; and {waits.Count - WaitsNamed} more" : "";
        string where = Write(path, string.Join("\n\n", waits.Select(static w => w.ToText()))) is { } failed ? failed : $"all waits are in {path}";
        Leave($"pool {pool}: the unmount did not end, {why}: {named}{more}; {where}; the connection is aborted, nothing is flushed, the pool opens as it was last synced", ExitCode.Stuck);
    }

    /// <summary>The counters of the small kernel at the end; a stuck thread may hold one of their locks, so they have a second.</summary>
    private string Counters()
    {
        const int PatienceMs = 1000;
        var gather = Task.Run(() => "Counters:\n" + string.Join('\n', counters().Select(static c => $"  {c.Key} {c.Value}")));
        return gather.Wait(PatienceMs) ? gather.Result : "Counters: not to be had, a stuck thread holds them";
    }

    /// <summary>A thread that fails takes the daemon down in the same way; its stack goes to a file, not to the user.</summary>
    internal void CatchCrashes()
    {
        Kthread.UnhandledException = (thread, e) => Crash($"thread {thread}: ", e);
        AppDomain.CurrentDomain.UnhandledException += (_, e) => Crash("", e.ExceptionObject as Exception);
    }

    private void Crash(string who, Exception? error)
    {
        string path = Path.Combine(ControlPaths.Directory, $"crash-{ControlPaths.Safe(pool)}-{Environment.ProcessId}.txt");
        string where = Write(path, $"{who}{error}") is null ? $"the stack is in {path}" : "the stack could not be written";
        if (Environment.GetEnvironmentVariable("ZFSLITE_DEBUG") == "1")
        {
            log.WriteLine(error);
        }

        Leave($"pool {pool}: internal error: {who}{error?.GetType().Name}: {CliException.OneLine(error?.Message ?? "")}; {where}", ExitCode.Failed);
    }

    private void Leave(string line, int exitCode)
    {
        log.WriteLine($"zfslite: {line}");
        log.Flush();
        _ = server.Abort();
        MountPoint.TryDetach(settings.Directory, server.Connection);
        try
        {
            File.Delete(socketPath);
        }
        catch (IOException)
        {
            // Stale sockets are recognised.
        }

        Native.ExitNow(exitCode);
    }

    private static string? Write(string path, string text)
    {
        try
        {
            File.WriteAllText(path, text, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"{path} cannot be written: {CliException.OneLine(e.Message)}";
        }
    }
}
