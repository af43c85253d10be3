using System.Text.Json;
using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>Log devices by the command: made, added and removed with the pool mounted and not, shown, missing.</summary>
public sealed class CliLogDeviceTests : IDisposable
{
    private readonly CliMount _m = new();
    private readonly string _log;
    private readonly string _log2;

    public CliLogDeviceTests()
    {
        _log = Path.Combine(_m.PoolDir, "log.img");
        _log2 = Path.Combine(_m.PoolDir, "log2.img");
    }

    public void Dispose() => _m.Dispose();

    [Fact]
    public void Made_with_a_pool_added_and_removed_while_it_is_not_mounted()
    {
        Assert.Contains($"pool tank made on {_m.Image}, log on {_log}, 128M", _m.Ok("create", "tank", _m.Image, "log", _log, "--size", "128M"), StringComparison.Ordinal);
        Assert.Equal($"{_m.Image} log {_log}", Devices(_log, _m.Image));
        Judges(_m.Image, _log);
        Assert.Contains($"log {_log}", _m.Ok("import", "--list", _m.PoolDir), StringComparison.Ordinal);
        _m.Ok("add", _m.Image, _log, "log", _log2, "--size", "64M");
        Assert.Equal($"{_m.Image} log {_log} {_log2}", Devices(_log, _m.Image, _log2));
        Judges(_m.Image, _log, _log2);
        _m.Refused("holds data of pool 'tank': only log devices can be removed", "remove", _log, _log2, _m.Image);
        _m.Ok("remove", _m.Image, _log2, _log);
        File.Delete(_log);
        Assert.Equal($"{_m.Image} log {_log2}", Devices(_m.Image, _log2));
        Judges(_m.Image, _log2);
        Assert.Empty(JsonDocument.Parse(_m.Ok("import", "--list", _m.PoolDir, "--json")).RootElement[0].GetProperty("missing").EnumerateArray());
        _m.Ok("remove", _m.Image, _log2, _log2);
        File.Delete(_log2);
        Judges(_m.Image);
    }

    [Fact]
    public void What_can_not_be_a_log_device_is_refused_and_leaves_nothing_behind()
    {
        _m.Create();
        string other = _m.Files.File("other.img");
        _m.Ok("create", "other", other, "--size", "64M");
        _m.Refused($"{other} holds the pool 'other'", "add", _m.Image, "log", other);
        _m.Refused($"{_log} does not exist; to make a file of that name, add --size 1G", "add", _m.Image, "log", _log);
        _m.Refused($"{_log} with 1M is too small", "add", _m.Image, "log", _log, "--size", "1M");
        _m.Refused($"{_m.Image} is given twice", "add", _m.Image, "log", _m.Image);
        _m.Refused("add: only log devices can be added, after the word log", "add", _m.Image, _log);
        _m.Refused("add: no device after the word log", "add", _m.Image, "log");
        _m.Refused("create: no device before the word log", "create", "p", "log", _log);
        _m.Refused("remove: no log device given", "remove", _m.Image);
        _m.Refused($"{_log} is no device of pool 'tank'", "remove", _m.Image, _log);
        Assert.False(File.Exists(_log));
        Judges(_m.Image);
    }

    [FuseFact]
    public void Added_used_and_removed_while_it_is_mounted()
    {
        _m.Create();
        _m.Mount();
        _m.Ok("add", _m.Mnt, "log", _log, _log2, "--size", "64M");
        Assert.Equal([_log, _log2], Texts(_m.Status().GetProperty("log_devices")));
        long before = Blocks(_log) + Blocks(_log2);
        _m.Shell($"for i in $(seq 20); do dd if=/dev/urandom of={_m.Mnt}/f$i bs=100k count=1 conv=fsync status=none; done; cat {_m.Mnt}/f* | sha256sum > {_m.Files.File("sum")}");
        Assert.True(Blocks(_log) + Blocks(_log2) > before + 1_000_000, "the log devices were not used");
        _m.Ok("remove", "tank", _log);
        File.Delete(_log);
        _m.Shell($"dd if=/dev/urandom of={_m.Mnt}/g bs=100k count=1 conv=fsync status=none");
        Assert.Equal([_log2], Texts(_m.Status().GetProperty("log_devices")));
        _m.Refused($"{_m.Image} holds data of pool 'tank'", "remove", _m.Mnt, _m.Image);
        _m.Refused($"{_m.Mnt}/g lies in {_m.Mnt}", "add", _m.Mnt, "log", $"{_m.Mnt}/g");
        _m.Unmount();
        Judges(_m.Image, _log2);
        _m.Ok("mount", _m.Image, _log2, _m.Mnt, "--memory", "64M", "--background");
        _m.Shell($"cat {_m.Mnt}/f* | sha256sum | cmp - {_m.Files.File("sum")}");
        _m.Unmount();
    }

    [FuseFact]
    public void Without_it_a_pool_is_mounted_with_m_alone()
    {
        _m.Ok("create", "tank", _m.Image, "log", _log, "--size", "128M");
        _m.Ok("mount", _m.Image, _log, _m.Mnt, "--memory", "64M", "--background");
        _m.Shell($"echo kept > {_m.Mnt}/kept");
        _m.Unmount();
        string away = _m.Files.File("away.img");
        File.Move(_log, away);
        string expected = $"pool 'tank' lacks its log vdev 1, {_log} (guid ";
        foreach (string[] command in (string[][])[["status"], ["check"], ["mount", _m.Mnt], ["mount", _m.Mnt, "--background"], ["set", "atime=off"], ["remove", _log]])
        {
            _m.Refused(expected, [command[0], _m.Image, .. command[1..]]);
            _m.Refused("give it too; without it, with -m, the intent log is empty, and nothing is lost", [command[0], _m.Image, .. command[1..]]);
        }

        Assert.Contains("is clean", _m.Ok("check", _m.Image, "-m"), StringComparison.Ordinal);
        _m.Ok("mount", _m.Image, _m.Mnt, "-m", "--memory", "64M", "--background");
        _m.Shell($"grep kept {_m.Mnt}/kept; dd if=/dev/urandom of={_m.Mnt}/g bs=100k count=1 conv=fsync status=none");
        Assert.Contains($"log device {_log} (guid ", _m.Ok("status", _m.Mnt), StringComparison.Ordinal);
        _m.Unmount();
        Assert.Contains("is clean", _m.Ok("check", _m.Image, away), StringComparison.Ordinal);
        _m.Ok("remove", _m.Image, _log, "-m");
        Judges(_m.Image);
        _m.Refused($"{away} was removed from pool 'tank': leave it out", "mount", _m.Image, away, _m.Mnt);
    }

    [FuseFact]
    public void One_that_fails_is_named_by_status_and_used_again_after_clear_or_removed()
    {
        string fault = _m.Files.File("fault");
        _m.Ok("create", "tank", _m.Image, "log", _log, "--size", "128M");
        _m.Shell($"ZFSLITE_TEST_FAIL_IO={fault} {Path.Combine(AppContext.BaseDirectory, "zfslite")} mount {_m.Image} {_log} {_m.Mnt} --memory 64M --background");
        Sync("before");
        File.WriteAllText(fault, $"only {_log}");
        Sync("during");
        Assert.Equal("mounted", _m.Status().GetProperty("state").GetString());
        string warning = Assert.Single(Texts(_m.Status().GetProperty("warnings")), static w => w.StartsWith("log device", StringComparison.Ordinal));
        Assert.StartsWith($"log device {_log} has failed (a ", warning, StringComparison.Ordinal);
        Assert.Contains($"{_log} failed: EIO (Input/output error)): the intent log is written to the data devices, and nothing is lost; mend it and type: zfslite clear tank, or", warning, StringComparison.Ordinal);
        _m.Refused($"log device {_log} of pool 'tank' still fails: EIO", "clear", "tank");
        File.Delete(fault);
        _m.Ok("clear", "tank");
        Assert.DoesNotContain(Texts(_m.Status().GetProperty("warnings")), static w => w.StartsWith("log device", StringComparison.Ordinal));
        long before = Blocks(_log);
        Sync("after", megabytes: 2);
        Assert.True(Blocks(_log) > before + 1_000_000, "the log device is not used again");
        File.WriteAllText(fault, $"only {_log}");
        Sync("again");
        _m.Ok("remove", "tank", _log);
        Assert.Empty(Texts(_m.Status().GetProperty("log_devices")));
        Sync("last");
        _m.Unmount();
        File.Delete(_log);
        Judges(_m.Image);
        _m.Mount();
        Assert.Equal(["after", "again", "before", "during", "last"], Directory.GetFiles(_m.Mnt).Select(static f => Path.GetFileName(f)).Order(StringComparer.Ordinal));

        void Sync(string name, int megabytes = 1) => _m.Shell($"dd if=/dev/urandom of={_m.Mnt}/{name} bs=100k count={megabytes * 10} oflag=sync status=none");
    }

    private void Judges(params string[] devices)
    {
        Assert.Contains("is clean", _m.Ok(["check", .. devices]), StringComparison.Ordinal);
        _m.ZdbIsContent("tank");
    }

    private string Devices(params string[] target)
    {
        JsonElement status = JsonDocument.Parse(_m.Ok(["status", .. target, "--json"])).RootElement[0];
        return $"{string.Join(' ', Texts(status.GetProperty("devices")))} log {string.Join(' ', Texts(status.GetProperty("log_devices")))}";
    }

    private static string[] Texts(JsonElement list) => [.. list.EnumerateArray().Select(static d => d.GetString()!)];

    private long Blocks(string file) => long.Parse(_m.Shell($"stat -c %b {file}")) * 512;
}
