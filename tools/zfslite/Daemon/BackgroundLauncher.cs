using System.Diagnostics;
using ZfsLite.Cli.Posix;

namespace ZfsLite.Cli;

/// <summary>
/// --background: starts the same program again as a daemon in a session of its own (never fork: threads exist already) and waits
/// until it says that the mount is usable, or passes its error line on. The daemon reports on standard output, which is a pipe to
/// here until then, and afterwards writes to a log file next to its socket.
/// </summary>
internal static class BackgroundLauncher
{
    /// <summary>Set in the daemon's environment: detach, report readiness, log to a file.</summary>
    internal const string DaemonVariable = "ZFSLITE_DAEMON";

    /// <summary>The line that says the mount is usable.</summary>
    internal const string ReadyLine = "zfslite: ready";

    internal static int Launch(MountSettings settings)
    {
        (string program, List<string> arguments) = Self();
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string word in arguments.Concat(settings.DaemonArguments()))
        {
            start.ArgumentList.Add(word);
        }

        start.Environment[DaemonVariable] = "1";
        start.WorkingDirectory = "/";
        using Process daemon = Process.Start(start) ?? throw new CliException("the daemon cannot be started");
        daemon.StandardInput.Close();
        while (daemon.StandardOutput.ReadLine() is { } line)
        {
            if (line == ReadyLine)
            {
                return ExitCode.Ok;
            }
        }

        string text = daemon.StandardError.ReadToEnd().Trim();
        daemon.WaitForExit();
        const string Prefix = "zfslite: ";
        string message = text.Length == 0 ? $"the daemon ended with exit code {daemon.ExitCode} before the mount was usable" : text;
        throw new CliException(message.StartsWith(Prefix, StringComparison.Ordinal) ? message[Prefix.Length..] : message, null, Math.Max(daemon.ExitCode, ExitCode.Failed));
    }

    /// <summary>How to start this program again.</summary>
    internal static (string Program, List<string> Arguments) Self()
    {
        string program = Environment.ProcessPath ?? throw new CliException("the path of this program is unknown");
        return Path.GetFileNameWithoutExtension(program) == "zfslite"
            ? (program, [])
            : ("dotnet", [Path.Combine(AppContext.BaseDirectory, "zfslite.dll")]);
    }

    /// <summary>In the daemon: leaves the session of the shell that started it.</summary>
    internal static void Detach() => _ = Native.SetSid();
}
