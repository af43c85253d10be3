using System.Globalization;
using System.Text.Json;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>Quotas and reservations as a user meets them: set, shown, kept over a new mount, seen by df and by who writes too much.</summary>
public sealed class CliQuotaTests : IDisposable
{
    private const long M = 1 << 20;
    private readonly CliMount _m = new();

    public void Dispose() => _m.Dispose();

    [FuseFact]
    public void A_quota_is_the_size_that_df_shows_and_writing_past_it_fails_at_fsync()
    {
        _m.Create();
        _m.Mount();
        Assert.Equal(("none", "-"), Property("refquota"));
        Assert.Equal("", _m.Ok("set", _m.Mnt, "refquota=32M", "compression=off"));
        Assert.Equal(("32M", "local"), Property("refquota"));
        Assert.Equal(32 * M, Df("size"));
        CliResult synced = Dd("synced", "conv=fsync");
        Assert.NotEqual(0, synced.ExitCode);
        Assert.Contains("Disk quota exceeded", synced.Error, StringComparison.Ordinal);
        Assert.Equal(0, Df("avail"));
        Assert.Contains("failed to open", Dd("none").Error, StringComparison.Ordinal);
        Remove("synced");

        // What the kernel had taken, and nobody asked about by an fsync, is told at the close, which does not know EDQUOT.
        CliResult closed = Dd("closed");
        Assert.NotEqual(0, closed.ExitCode);
        Assert.Matches("closing output file.*(Input/output error|Disk quota exceeded)", closed.Error);
        Remove("closed");
        Assert.InRange(Df("avail"), 30 * M, 32 * M);
        _m.Shell($"dd if=/dev/zero of={_m.Mnt}/fits bs=1M count=24 conv=fsync status=none");
        _m.Refused("are referred to", "set", _m.Mnt, "refquota=8M");
        _m.Unmount();
        Assert.Equal(("32M", "local"), Property("refquota", _m.Image));
        _m.JudgesAreContent();
        _m.Ok("set", _m.Image, "refquota=none", "quota=64M", "reservation=48M", "refreservation=40M");
        _m.Mount();
        Assert.Equal("64M 40M 48M none", string.Join(' ', ((string[])["quota", "refreservation", "reservation", "refquota"]).Select(n => Property(n).Value)));
        _m.Refused("the quota is", "set", _m.Mnt, "reservation=65M");
        _m.Refused("keeps no accounts per user", "set", _m.Mnt, "userquota@1000=1M");
        _m.Unmount();
        _m.JudgesAreContent();
    }

    [Fact]
    public void What_is_no_limit_is_refused()
    {
        _m.Create();
        _m.Refused("'much' is not a value of quota; allowed: none, or a size", "set", _m.Image, "quota=much");
        _m.Refused("unknown property 'userquota@bob'", "set", _m.Image, "userquota@bob=1M");
        _m.Refused("unknown property 'userused@1'", "set", _m.Image, "userused@1=1M");
        _m.Refused("are used", "set", _m.Image, "quota=1K");
        _m.Refused("are available", "set", _m.Image, "reservation=1T");
        _m.Refused("create: quota is set on a pool that is there", "create", "other", _m.Files.File("o.img"), "--size", "64M", "-o", "quota=1M");
        Assert.Equal(("none", "-"), Property("quota", _m.Image));
    }

    private void Remove(string name)
    {
        _m.Shell($"rm {_m.Mnt}/{name}");
        _m.Ok("sync", "tank");
    }

    private CliResult Dd(string name, string more = "") =>
        _m.Files.Start("bash", ["-c", $"LC_ALL=C dd if=/dev/zero of={_m.Mnt}/{name} bs=1M count=64 status=none {more}"], 120);

    private long Df(string column) =>
        long.Parse(_m.Shell($"df -B1 --output={column} {_m.Mnt} | tail -1"), CultureInfo.InvariantCulture);

    private (string? Value, string? Source) Property(string name, string? target = null)
    {
        JsonElement row = JsonDocument.Parse(_m.Ok("get", target ?? _m.Mnt, name, "--json")).RootElement[0];
        return (row.GetProperty("value").GetString(), row.GetProperty("source").GetString());
    }
}
