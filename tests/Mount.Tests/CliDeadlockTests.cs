using System.Xml.Linq;
using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>The deadlock on a real mount: found under policy none, explained, survived; gone under fstrans.</summary>
[Trait("Category", "stress")]
public sealed class CliDeadlockTests : IDisposable
{
    private const int ExitDeadlock = 75;

    private readonly CliMount _m = new();

    public void Dispose() => _m.Dispose();

    [FuseFact]
    public void Under_none_the_daemon_proves_the_deadlock_draws_it_and_leaves_a_clean_pool()
    {
        Prepare();
        string svg = _m.Files.File("deadlock.svg");
        CliResult result = Work("none", $"--torture-reclaim 200 --deadlock-svg {svg}", 120);
        Assert.True(result.ExitCode == ExitDeadlock, $"exit code {result.ExitCode}: {result.Output}");
        Assert.Contains("PROVEN DEADLOCK", result.Output, StringComparison.Ordinal);
        Assert.Contains("WriteAtime", result.Output, StringComparison.Ordinal);
        Assert.Equal("svg", XDocument.Load(svg).Root!.Name.LocalName);
        Assert.DoesNotContain($" {_m.Mnt} ", File.ReadAllText("/proc/self/mounts"), StringComparison.Ordinal);
        Assert.Equal("no pool is mounted", _m.Ok("status").Trim());
        _m.JudgesAreContent();
        _m.Mount();
    }

    [FuseFact]
    public void Under_fstrans_the_same_work_completes()
    {
        Prepare();
        CliResult result = Work("fstrans", "--torture-reclaim 200", 30);
        Assert.True(result.ExitCode == 0, $"exit code {result.ExitCode}: {result.Output}");
        _m.JudgesAreContent();
    }

    private void Prepare()
    {
        _m.Create("512M");
        _m.Mount();
        _m.Shell($"mkdir {_m.Mnt}/small; for i in $(seq 8000); do echo $i > {_m.Mnt}/small/$i; done");
        _m.Unmount();
    }

    /// <summary>Readers of many small files and writers, until the daemon ends or the time is over; then unmounts. The daemon's exit code.</summary>
    private CliResult Work(string policy, string options, int seconds)
    {
        string zfslite = Path.Combine(AppContext.BaseDirectory, "zfslite");
        string script = $$"""
            {{zfslite}} mount {{_m.Image}} {{_m.Mnt}} -o atime --memory 16M --policy {{policy}} {{options}} 2>&1 & daemon=$!
            for i in $(seq 200); do mountpoint -q {{_m.Mnt}} && break; sleep 0.05; done
            end=$((SECONDS + {{seconds}}))
            alive() { kill -0 $daemon 2>/dev/null && [ $SECONDS -lt $end ]; }
            for r in 1 2 3 4; do (while alive; do cat {{_m.Mnt}}/small/*$r >/dev/null 2>&1 || sleep 0.1; done) & work+=($!); done
            for w in 1 2 3 4; do (while alive; do dd if=/dev/zero of={{_m.Mnt}}/big$w bs=128k count=200 2>/dev/null || sleep 0.1; done) & work+=($!); done
            wait ${work[@]}
            if kill -0 $daemon 2>/dev/null; then {{zfslite}} unmount {{_m.Mnt}}; fi
            wait $daemon
            """;
        return _m.Files.Start("bash", ["-c", script], seconds + 120);
    }
}
