using System.Diagnostics;
using System.Text.Json;

namespace ZfsLite.Stress;

/// <summary>The command under test and the daemon that it starts.</summary>
internal sealed class StressDaemon(StressSettings settings)
{
    private const int CommandSecondsMax = 120;

    internal void Create()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(settings.Image)!);
        Directory.CreateDirectory(settings.Mount);
        Zfslite("create", "stress", settings.Image, "--size", "1G", "-o", "compression=on", "-o", "recordsize=16K");
    }

    internal void Start(string options) =>
        Zfslite("mount", settings.Image, settings.Mount, "-o", options, "--memory", "96M", "--background");

    internal void Remount(string options) => Zfslite("mount", settings.Image, settings.Mount, "-o", "remount," + options);

    internal void Sync() => Zfslite("sync", settings.Mount);

    /// <summary>Unmounts; if the daemon is gone, takes the dead mount away.</summary>
    internal void Stop() => Zfslite("unmount", settings.Mount);

    /// <summary>Ends the daemon as a crash would, by its own process id, and waits until it is gone.</summary>
    internal void Kill()
    {
        int pid = Pid();
        if (pid <= 1 || !Posix.Kill(pid, 9))
        {
            throw new StressFailureException($"the daemon, process {pid}, could not be killed: it had ended by itself");
        }

        for (int i = 0; i < 500 && Directory.Exists($"/proc/{pid}"); i++)
        {
            Thread.Sleep(20);
        }
    }

    internal void Check() => Zfslite("check", settings.Image);

    /// <summary>zdb's verdict; "" if it is clean, otherwise its complaint.</summary>
    internal string Zdb()
    {
        (int code, string text) = Run(settings.Zfslite, CommandSecondsMax, ["zdb", Path.GetDirectoryName(settings.Image)!, "stress"]);
        return code == 0 && text.Contains("No leaks", StringComparison.Ordinal) ? "" : $"exit code {code}: {text}";
    }

    private int Pid()
    {
        (_, string text) = Run(settings.Zfslite, CommandSecondsMax, ["status", settings.Mount, "--json"]);
        using JsonDocument status = JsonDocument.Parse(text);
        return status.RootElement[0].GetProperty("pid").GetInt32();
    }

    private void Zfslite(params string[] arguments)
    {
        (int code, string text) = Run(settings.Zfslite, CommandSecondsMax, arguments);
        if (code != 0)
        {
            throw new StressFailureException($"zfslite {string.Join(' ', arguments)}: exit code {code}: {text}");
        }
    }

    private static (int Code, string Text) Run(string program, int secondsMax, IReadOnlyList<string> arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(secondsMax * 1000))
        {
            process.Kill();
            throw new StressFailureException($"{program} {string.Join(' ', arguments)} hung: not done after {secondsMax} s");
        }

        return (process.ExitCode, (output.GetAwaiter().GetResult() + error.GetAwaiter().GetResult()).Trim());
    }
}
