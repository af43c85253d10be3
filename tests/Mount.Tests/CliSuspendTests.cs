using System.Diagnostics;
using System.Text.Json;
using Xunit;
using ZfsLite.Cli;
using ZfsLite.Cli.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>Mounts whose devices fail: the pool is suspended, says so, goes on after zfslite clear with all it held, or is given up by an unmount.</summary>
public sealed class CliSuspendTests : IDisposable
{
    private readonly CliMount _m = new();
    private readonly string _fault;

    public CliSuspendTests()
    {
        _fault = _m.Files.File("fault");
    }

    public void Dispose()
    {
        File.Delete(_fault);
        _m.Dispose();
    }

    [FuseFact]
    public void A_suspended_pool_says_so_and_goes_on_after_clear_with_all_it_held()
    {
        MountFaulty();
        File.WriteAllText(_fault, "");
        Task<CliResult> writer = WriteAndSync();
        JsonElement status = Until(static s => s.GetProperty("state").GetString() == "SUSPENDED");
        string text = status.GetProperty("suspended").GetString()!;
        Assert.StartsWith("a ", text, StringComparison.Ordinal);
        Assert.Contains($"{_m.Image} failed: EIO (Input/output error), since 20", text, StringComparison.Ordinal);
        Assert.EndsWith("zfslite clear tank", text, StringComparison.Ordinal);
        Assert.True(status.GetProperty("io_errors").GetInt64() >= 2);
        Assert.Equal("kept", File.ReadAllText($"{_m.Mnt}/kept"));
        _m.Refused("pool tank is suspended again: ", "clear", "tank");
        Assert.False(writer.IsCompleted);
        File.Delete(_fault);
        _m.Ok("clear", _m.Mnt);
        CliResult written = writer.GetAwaiter().GetResult();
        Assert.True(written.ExitCode == 0, written.Error);
        Assert.Equal("mounted", _m.Status().GetProperty("state").GetString());
        _m.Ok("clear", "tank");
        _m.Unmount();
        _m.JudgesAreContent();
        _m.Mount();
        _m.Shell($"cmp {_m.Files.File("data")} {_m.Mnt}/new");
    }

    [FuseFact]
    public void An_unmount_of_a_suspended_pool_gives_it_up_and_says_what_that_means()
    {
        MountFaulty();
        File.WriteAllText(_fault, "");
        Task<CliResult> writer = WriteAndSync();
        _ = Until(static s => s.GetProperty("state").GetString() == "SUSPENDED");
        _m.Refused("pool tank was not closed cleanly: it was suspended: a ", "unmount", _m.Mnt);
        Assert.NotEqual(0, writer.GetAwaiter().GetResult().ExitCode);
        File.Delete(_fault);
        _m.Mount();
        Assert.Equal("kept", File.ReadAllText($"{_m.Mnt}/kept"));
        _m.Unmount();
        _m.JudgesAreContent();
    }

    [FuseFact]
    public void A_host_file_system_that_is_full_suspends_the_pool_until_there_is_room()
    {
        if (Native.GetEUid() != 0)
        {
            return;
        }

        _m.Shell($"mount -t tmpfs -o size=24M zfslite-test {_m.PoolDir}");
        try
        {
            _m.Create();
            _m.Mount();
            Task<CliResult> writer = WriteAndSync(megabytes: 40);
            JsonElement status = Until(static s => s.GetProperty("state").GetString() == "SUSPENDED");
            Assert.Contains($"a write to {_m.Image} failed: ENOSPC", status.GetProperty("suspended").GetString(), StringComparison.Ordinal);
            _m.Shell($"mount -o remount,size=200M {_m.PoolDir}");
            _m.Ok("clear", "tank");
            CliResult written = writer.GetAwaiter().GetResult();
            Assert.True(written.ExitCode == 0, written.Error);
            _m.Unmount();
            _m.JudgesAreContent();
            _m.Mount();
            _m.Shell($"cmp {_m.Files.File("data")} {_m.Mnt}/new");
            _m.Unmount();
        }
        finally
        {
            _ = _m.Files.RunProcess(["unmount", _m.Mnt]);
            _m.Shell($"umount -l {_m.PoolDir}");
        }
    }

    [FuseFact]
    public void A_device_that_does_not_answer_is_named_by_status()
    {
        MountFaulty();
        File.WriteAllText(_fault, "hang");
        Task<CliResult> writer = WriteAndSync();
        JsonElement status = Until(static s => s.GetProperty("warnings").EnumerateArray().Any(static w => w.GetString()!.Contains("has not answered", StringComparison.Ordinal)));
        Assert.Contains(status.GetProperty("warnings").EnumerateArray(), w => w.GetString()!.StartsWith($"{_m.Image} has not answered a ", StringComparison.Ordinal));
        Assert.Equal("mounted", status.GetProperty("state").GetString());
        string reports = File.ReadAllText(Assert.Single(Directory.GetFiles(_m.Files.RunDir, "*.log")));
        Assert.Matches($"slow wait, not a deadlock: [^\n]* ms for a (write to|flush of) {_m.Image}", reports);
        File.Delete(_fault);
        CliResult written = writer.GetAwaiter().GetResult();
        Assert.True(written.ExitCode == 0, written.Error);
        _m.Unmount();
        _m.JudgesAreContent();
    }

    private void MountFaulty()
    {
        _m.Create();
        string zfslite = Path.Combine(AppContext.BaseDirectory, "zfslite");
        _m.Shell($"ZFSLITE_TEST_FAIL_IO={_fault} {zfslite} mount {_m.Image} {_m.Mnt} --memory 64M --background");
        File.WriteAllText($"{_m.Mnt}/kept", "kept");
        _m.Ok("sync", "tank");
    }

    /// <summary>Writes a file and syncs it, in a process that may have to wait.</summary>
    private Task<CliResult> WriteAndSync(int megabytes = 3)
    {
        string data = _m.Files.File("data");
        _m.Shell($"head -c {megabytes}M /dev/urandom > {data}");
        return Task.Run(() => _m.Files.Start("dd", [$"if={data}", $"of={_m.Mnt}/new", "bs=64k", "conv=fsync"], 120));
    }

    private JsonElement Until(Func<JsonElement, bool> holds)
    {
        var clock = Stopwatch.StartNew();
        while (true)
        {
            JsonElement status = _m.Status();
            if (holds(status))
            {
                return status;
            }

            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(60), $"still {status}");
            Thread.Sleep(100);
        }
    }
}
