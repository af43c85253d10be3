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
        MountPoint.TryDetach(settings.Directory);
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
