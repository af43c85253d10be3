using System.Diagnostics;
using ZfsLite.Cli;

namespace ZfsLite.Tests.Mount;

/// <summary>
/// A temporary directory with a directory for control sockets of its own, and the command run against it: in this process (for
/// what needs no pool), or as a process of its own.
/// </summary>
internal sealed class CliRunDirectory : IDisposable
{
    private static readonly Lock s_environment = new();

    internal CliRunDirectory()
    {
        Root = Directory.CreateTempSubdirectory("zfslite-cli-").FullName;
        RunDir = Path.Combine(Root, "run");
        Directory.CreateDirectory(RunDir);
    }

    /// <summary>The directory; removed at the end.</summary>
    internal string Root { get; }

    /// <summary>Where the sockets lie.</summary>
    internal string RunDir { get; }

    /// <summary>A path inside.</summary>
    internal string File(string name) => Path.Combine(Root, name);

    /// <summary>Runs a command line in this process.</summary>
    internal CliResult Run(string[] args)
    {
        lock (s_environment)
        {
            string? before = Environment.GetEnvironmentVariable("ZFSLITE_RUNDIR");
            Environment.SetEnvironmentVariable("ZFSLITE_RUNDIR", RunDir);
            try
            {
                using var output = new StringWriter();
                using var error = new StringWriter();
                int exitCode = CommandLine.Run(args, output, error);
                return new CliResult(exitCode, output.ToString(), error.ToString());
            }
            finally
            {
                Environment.SetEnvironmentVariable("ZFSLITE_RUNDIR", before);
            }
        }
    }

    /// <summary>Runs the command as a process; fails if it takes longer than <paramref name="secondsMax"/>.</summary>
    internal CliResult RunProcess(IReadOnlyList<string> args, int secondsMax = 60) =>
        Start(Path.Combine(AppContext.BaseDirectory, "zfslite"), args, secondsMax);

    /// <summary>Runs any program likewise.</summary>
    internal CliResult Start(string program, IReadOnlyList<string> args, int secondsMax = 60)
    {
        var start = new ProcessStartInfo(program)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = Root,
        };
        foreach (string arg in args)
        {
            start.ArgumentList.Add(arg);
        }

        start.Environment["ZFSLITE_RUNDIR"] = RunDir;
        start.Environment["ZFSLITE_SPL"] = "os";
        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(secondsMax * 1000))
        {
            process.Kill();
            throw new TimeoutException($"{program} {string.Join(' ', args)} did not end within {secondsMax} s");
        }

        return new CliResult(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    /// <summary>The end of what the daemons have said.</summary>
    internal string Logs() => string.Concat(Directory.GetFiles(RunDir, "*.log").Select(static log => $"\n{Path.GetFileName(log)}:\n{string.Join('\n', System.IO.File.ReadLines(log).TakeLast(60))}"));

    /// <summary>No mount that has ended said that memory was not given back.</summary>
    internal void CheckLeaks()
    {
        foreach (string log in Directory.GetFiles(RunDir, "*.log"))
        {
            string? leak = Array.Find(System.IO.File.ReadAllLines(log), static l => l.Contains("was not given back", StringComparison.Ordinal));
            if (leak is not null)
            {
                throw new InvalidDataException($"{Path.GetFileName(log)}: {leak}");
            }
        }
    }

    public void Dispose()
    {
        try
        {
            Directory.Delete(Root, recursive: true);
        }
        catch (IOException)
        {
            // A mount that could not be taken away: the test has failed already, and must not hide why.
        }
    }
}
