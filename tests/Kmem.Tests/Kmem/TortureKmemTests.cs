using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace ZfsLite.Kmem.Tests;

/// <summary>The command <c>torture kmem</c> as it is typed: what it says, what it leaves behind, and how it goes on.</summary>
[Trait("Backend", "os")]
public sealed partial class TortureKmemTests : IDisposable
{
    private const int LimitSeconds = 120;

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("zfslite-torture-");

    private string StateFile => Path.Combine(_directory.FullName, "state.json");

    /// <inheritdoc/>
    public void Dispose() => _directory.Delete(recursive: true);

    [Fact]
    public void A_run_that_is_killed_goes_on_and_ends_with_the_counts_of_one_that_was_not()
    {
        string[] what = ["kmem", "--schedules", "2000", "--seed", "500", "--workers", "2"];
        string whole = Path.Combine(_directory.FullName, "whole.json");
        Assert.Equal(0, Run([.. what, "--state", whole]).Exit);
        Assert.Equal(1500UL, Next(whole));

        using Process killed = Start([.. what, "--state", StateFile]);
        Task<string> output = killed.StandardOutput.ReadToEndAsync();
        Until(() => File.Exists(StateFile) && Next(StateFile) > 500, "the first seeds are done");
        int[] workers = [.. File.ReadAllText($"/proc/{killed.Id}/task/{killed.Id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];
        killed.Kill();
        killed.WaitForExit();
        _ = output.Result;
        ulong at = Next(StateFile);
        Assert.InRange(at, 501UL, 1499UL);
        Until(() => workers.All(static pid => !Directory.Exists($"/proc/{pid}")), "its workers end, with nobody to work for");

        (int exit, string text) = Run(["kmem", "--resume", "--state", StateFile]);
        Assert.Equal(0, exit);
        Assert.Contains($"2,000 schedules from seed 500, going on from seed {at}", text, StringComparison.Ordinal);
        Assert.Equal(1500UL, Next(StateFile));
        Assert.Equal(Counts(whole), Counts(StateFile));
    }

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public void A_signal_to_it_and_its_workers_saves_prints_the_counts_and_says_how_to_go_on(string signal)
    {
        using Process process = Start(["kmem", "--engine", "spl", "--state", StateFile]);
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Until(() => File.Exists(StateFile) && Next(StateFile) > 1, "the first seeds are done");
        string[] workers = File.ReadAllText($"/proc/{process.Id}/task/{process.Id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        using (Process kill = Process.Start("kill", [$"-{signal}", .. workers, $"{process.Id}"]))
        {
            kill.WaitForExit();
        }

        Assert.True(process.WaitForExit(LimitSeconds * 1000), "it goes on in spite of SIGINT");
        Assert.Equal(130, process.ExitCode);
        Assert.DoesNotContain("FAILED", output.Result, StringComparison.Ordinal);
        Assert.Contains("schedules in", output.Result, StringComparison.Ordinal);
        Assert.Contains("emergency objects", output.Result, StringComparison.Ordinal);
        Assert.Contains("it goes on with: ./fuse-test.sh torture kmem --resume", output.Result, StringComparison.Ordinal);
        Assert.Contains($"seeds 1 to {Next(StateFile) - 1},", output.Result, StringComparison.Ordinal);
    }

    /// <summary>What the run of all kinds does with each.</summary>
    [Fact]
    public void A_run_that_goes_on_begins_where_there_is_nothing_and_else_where_it_was()
    {
        string[] what = ["kmem", "--go-on", "--minutes", "0.02", "--state", StateFile];
        Assert.Equal(0, Run(what).Exit);
        ulong at = Next(StateFile);
        Assert.True(at > 1);
        (int exit, string text) = Run(what);
        Assert.Equal(0, exit);
        Assert.Contains($"no end from seed 1, going on from seed {at},", text, StringComparison.Ordinal);
        Assert.True(Next(StateFile) > at);
        File.WriteAllText(StateFile, BuildOf().Replace(File.ReadAllText(StateFile), "\"build\": \"another\""));
        Assert.DoesNotContain("going on", Run(what).Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("slubq")]
    [InlineData("spl")]
    public void A_failing_schedule_is_reported_with_the_command_that_replays_it(string engine)
    {
        string[] plant = ["--plant", "HandOutTwice", "--plant-seed", "33"];
        (int exit, string text) = Run(["kmem", "--engine", engine, "--seed", "1", "--schedules", "600", "--state", StateFile, .. plant]);
        Assert.Equal(1, exit);
        Assert.Contains($"FAILED on {engine}, seed 33: object 0x", text, StringComparison.Ordinal);
        Assert.Contains("is handed out twice", text, StringComparison.Ordinal);
        string command = Replay().Match(text).Groups["command"].Value;
        Assert.Equal($"kmem --engine {engine} --seed 33 --schedules 1", command);

        (int again, string replayed) = Run([.. command.Split(' '), .. plant, "--state", StateFile]);
        Assert.Equal(1, again);
        Assert.Equal(Trace().Match(text).Value, Trace().Match(replayed).Value);
        Assert.NotEmpty(Trace().Match(text).Value);
        Assert.Equal(33UL, Next(StateFile));
        Assert.Contains("is handed out twice", File.ReadAllText(StateFile), StringComparison.Ordinal);

        // Without the fault the same seed holds.
        Assert.Equal(0, Run([.. command.Split(' '), "--state", StateFile]).Exit);
    }

    [Theory]
    [InlineData("--engine", "slob")]
    [InlineData("--schedules", "0")]
    [InlineData("--resume", "")]
    [InlineData("--minutes", "-1")]
    [InlineData("--seed", "18446744073709551615")]
    public void Wrong_use_is_one_line_and_exit_code_2(string option, string value)
    {
        (int exit, string text) = Run(["kmem", "--state", StateFile, option, .. value.Length > 0 ? [value] : Array.Empty<string>()]);
        Assert.Equal(2, exit);
        Assert.StartsWith("torture: ", text, StringComparison.Ordinal);
        Assert.Equal(1, text.Count(static c => c == '\n'));
    }

    [Fact]
    public void The_counts_of_two_builds_are_not_added_up()
    {
        Assert.Equal(0, Run(["kmem", "--schedules", "10", "--state", StateFile]).Exit);
        File.WriteAllText(StateFile, BuildOf().Replace(File.ReadAllText(StateFile), "\"build\": \"another\""));
        (int exit, string text) = Run(["kmem", "--resume", "--state", StateFile]);
        Assert.Equal(2, exit);
        Assert.Contains("is of another build (torture ", text, StringComparison.Ordinal);
        Assert.Contains(", another; this is torture ", text, StringComparison.Ordinal);
        File.WriteAllText(StateFile, "{ \"torture\":");
        Assert.Equal(2, Run(["kmem", "--resume", "--state", StateFile]).Exit);
    }

    [GeneratedRegex(@"replay: \./fuse-test\.sh torture (?<command>.*?) --plant")]
    private static partial Regex Replay();

    [GeneratedRegex("trace [0-9a-f]{16}")]
    private static partial Regex Trace();

    [GeneratedRegex("\"build\": \"[^\"]*\"")]
    private static partial Regex BuildOf();

    private static Process Start(string[] args)
    {
        var info = new ProcessStartInfo("dotnet", ["exec", Path.Combine(AppContext.BaseDirectory, "torture.dll"), .. args])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        info.Environment["DOTNET_DbgEnableMiniDump"] = "0";
        return Process.Start(info)!;
    }

    private static (int Exit, string Output) Run(string[] args)
    {
        using Process process = Start(args);
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }

    private static void Until(Func<bool> condition, string what)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(start).TotalSeconds < LimitSeconds, "never happened: " + what);
            Thread.Sleep(20);
        }
    }

    private static ulong Next(string path)
    {
        using var state = JsonDocument.Parse(File.ReadAllText(path));
        return state.RootElement.GetProperty("nextSeed").GetUInt64();
    }

    private static string Counts(string path)
    {
        using var state = JsonDocument.Parse(File.ReadAllText(path));
        return state.RootElement.GetProperty("counts").GetRawText();
    }
}
