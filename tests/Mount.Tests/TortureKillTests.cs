using Xunit;
using ZfsLite.Torture;

namespace ZfsLite.Tests.Mount;

/// <summary>The short form of torture kill: a few real kills of the daemon; and that it finds what is lost.</summary>
public sealed class TortureKillTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("zfslite-kill-").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [FuseFact]
    public void After_kills_of_the_daemon_all_that_was_acknowledged_is_there()
    {
        using var run = new KillRun(Settings(kills: 5) with { KillsPerPool = 3 }, null);
        Assert.True(run.Run(static _ => { }), run.State.Failure);
        Assert.Equal(5, run.State.Done);
        Assert.True(run.State.Counts["mails acknowledged"] > 20, $"{run.State.Counts["mails acknowledged"]} mails");
        Assert.True(run.State.Counts["pools"] >= 2);
        KillState saved = KillState.Read(StateFile)!;
        Assert.Equal((5, run.State.Counts["mails acknowledged"]), (saved.Done, saved.Counts["mails acknowledged"]));
        Assert.False(Directory.Exists(Settings(1).Directory));
    }

    [FuseFact]
    public void It_finds_that_something_acknowledged_is_lost()
    {
        using var run = new KillRun(Settings(kills: 40) with { AckEarly = true, ChecksOneIn = int.MaxValue, WorkMsMax = 300 }, null);
        Assert.False(run.Run(static _ => { }));
        Assert.Matches("is gone|has other contents|is there under its temporary name|and is not there", run.State.Failure);
        Assert.Equal(run.State.Failure, KillState.Read(StateFile)!.Failure);
    }

    private string StateFile => Path.Combine(_root, "state.json");

    private KillSettings Settings(long kills) => new()
    {
        Zfslite = Path.Combine(AppContext.BaseDirectory, "zfslite"),
        Directory = Path.Combine(_root, "kill"),
        RunDirectory = Path.Combine(_root, "run"),
        StateFile = StateFile,
        Seed = 1,
        Kills = kills,
        WorkMsMax = 600,
    };
}
