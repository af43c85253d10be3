using System.Diagnostics;
using Xunit;
using ZfsLite.Cli;

namespace ZfsLite.Tests.Mount;

/// <summary>
/// A daemon that is told to end and can't, because its sync thread does not come back: it says what it waits for and goes, nothing
/// stays hung, and the pool is as it was last synced.
/// </summary>
public sealed class CliStuckTests : IDisposable
{
    private readonly CliMount _m = new();
    private readonly string _hold;

    public CliStuckTests()
    {
        _hold = _m.Files.File("hold");
        File.WriteAllText(_hold, "");
    }

    public void Dispose() => _m.Dispose();

    [FuseFact]
    public void Without_progress_it_gives_up_after_its_time_and_says_what_it_waited_for()
    {
        MakePool();
        CliResult result = Run("--unmount-limit 3", "kill -TERM $daemon");
        Assert.True(result.ExitCode == ExitCode.Stuck, $"exit code {result.ExitCode}: {result.Output}{result.Error}");
        string line = Assert.Single(result.Output.Split('\n'), static l => l.Contains("did not end", StringComparison.Ordinal));
        Assert.StartsWith("zfslite: pool tank: the unmount did not end, for 3 s no transaction group was written and no request answered: ", line, StringComparison.Ordinal);
        Assert.Contains("to sync; ", line, StringComparison.Ordinal);
        Assert.Contains("needs txg_sync#", line, StringComparison.Ordinal);
        string report = Assert.Single(Directory.GetFiles(_m.Files.RunDir, "stuck-tank-*.txt"));
        Assert.Contains(report, line, StringComparison.Ordinal);
        Assert.Contains("WaitSynced", File.ReadAllText(report), StringComparison.Ordinal);
        NothingStays();
    }

    [FuseFact]
    public void A_second_signal_counts_after_5_seconds()
    {
        MakePool();
        CliResult result = Run("", "kill -TERM $daemon; sleep 2; kill -TERM $daemon; sleep 1; kill -0 $daemon && echo alive; sleep 3; kill -TERM $daemon");
        Assert.True(result.ExitCode == ExitCode.Stuck, $"exit code {result.ExitCode}: {result.Output}{result.Error}");
        Assert.Contains("alive", result.Output, StringComparison.Ordinal);
        Assert.Contains("unmounting; a signal later than 5 s after the first", result.Output, StringComparison.Ordinal);
        Assert.Contains("the unmount did not end, and a second signal came: ", result.Output, StringComparison.Ordinal);
        NothingStays();
    }

    [FuseFact]
    public void An_unmount_that_ends_in_time_is_a_clean_one()
    {
        MakePool();
        CliResult result = Run("", $"kill -TERM $daemon; sleep 2; kill -0 $daemon && echo alive; rm {_hold}");
        Assert.True(result.ExitCode == 0, $"exit code {result.ExitCode}: {result.Output}{result.Error}");
        Assert.Contains("alive", result.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("did not end", result.Output, StringComparison.Ordinal);
        _m.JudgesAreContent();
        _m.Mount();
        Assert.Equal("new\n", File.ReadAllText($"{_m.Mnt}/new"));
    }

    [Fact]
    public void Progress_gives_more_time_and_no_answer_gives_none()
    {
        using var closed = new ManualResetEventSlim();
        using var gaveUp = new ManualResetEventSlim();
        int requests = 0;
        long steps = 0;
        var guard = new UnmountGuard(4, () => requests++, () => (0, Interlocked.Read(ref steps)), _ => gaveUp.Set(), closed, TextWriter.Null);
        guard.Signalled();
        for (int i = 0; i < 60; i++)
        {
            Thread.Sleep(100);
            Interlocked.Increment(ref steps);
        }

        Assert.False(gaveUp.IsSet);
        Assert.True(gaveUp.Wait(30_000));
        Assert.Equal(1, requests);

        using var never = new ManualResetEventSlim();
        using var second = new ManualResetEventSlim();
        var mute = new UnmountGuard(
            1,
            static () => { },
            () =>
            {
                never.Wait(60_000);
                return (0, 0);
            },
            _ => second.Set(),
            closed,
            TextWriter.Null);
        var clock = Stopwatch.StartNew();
        mute.Signalled();
        Assert.True(second.Wait(30_000));
        Assert.True(clock.ElapsedMilliseconds >= 900);
        never.Set();

        using var third = new ManualResetEventSlim();
        closed.Set();
        new UnmountGuard(1, static () => { }, static () => (0, 0), _ => third.Set(), closed, TextWriter.Null).Signalled();
        Assert.False(third.Wait(2000));
    }

    private void MakePool()
    {
        _m.Create();
        _m.Mount();
        File.WriteAllText($"{_m.Mnt}/kept", "kept");
        _m.Unmount();
    }

    /// <summary>Mounts with a sync thread that is held, writes, waits for an fsync meanwhile, and does as told; the daemon's exit code, and the output of all.</summary>
    private CliResult Run(string options, string then)
    {
        string zfslite = Path.Combine(AppContext.BaseDirectory, "zfslite");
        string script = $$"""
            ZFSLITE_TEST_HOLD_SYNC={{_hold}} {{zfslite}} mount {{_m.Image}} {{_m.Mnt}} --memory 64M {{options}} 2>&1 & daemon=$!
            for i in $(seq 200); do mountpoint -q {{_m.Mnt}} && break; sleep 0.05; done
            echo new > {{_m.Mnt}}/new
            sync {{_m.Mnt}}/new 2>&1 & writer=$!
            sleep 1
            {{then}}
            wait $daemon; code=$?
            wait $writer
            exit $code
            """;
        return _m.Files.Start("bash", ["-c", script], 90);
    }

    private void NothingStays()
    {
        Assert.DoesNotContain($" {_m.Mnt} ", File.ReadAllText("/proc/self/mounts"), StringComparison.Ordinal);
        Assert.Equal("no pool is mounted", _m.Ok("status").Trim());
        _m.JudgesAreContent();
        _m.Mount();
        Assert.Equal("kept", File.ReadAllText($"{_m.Mnt}/kept"));
        Assert.False(File.Exists($"{_m.Mnt}/new"));
    }
}
