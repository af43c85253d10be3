using System.Security.Cryptography;
using System.Text.Json;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>Pools on several devices, by the command: made, shown, mounted in any order, refused when they are not whole.</summary>
public sealed class CliStripeTests : IDisposable
{
    private readonly CliMount _m = new();
    private readonly string _a;
    private readonly string _b;
    private readonly string _c;

    public CliStripeTests()
    {
        _a = Path.Combine(_m.PoolDir, "a.img");
        _b = Path.Combine(_m.PoolDir, "b.img");
        _c = Path.Combine(_m.PoolDir, "c.img");
    }

    public void Dispose() => _m.Dispose();

    [Fact]
    public void A_pool_on_three_files_shows_their_sum_in_any_order()
    {
        Assert.Contains($"pool tank made on {_a} {_b} {_c}, 234M", Create(), StringComparison.Ordinal);
        JsonElement status = Json("status", _c, _a, _b, "--json");
        Assert.Equal(1, status.GetArrayLength());
        Assert.Equal([_a, _b, _c], status[0].GetProperty("devices").EnumerateArray().Select(static d => d.GetString()));
        Assert.InRange(status[0].GetProperty("size").GetInt64(), 200L << 20, 234L << 20);
        Assert.InRange(Json("list", _b, _c, _a, "--json")[0].GetProperty("available").GetInt64(), 160L << 20, 234L << 20);
        _m.Ok("set", _b, _a, _c, "compression=lzjb");
        Assert.Contains("lzjb", _m.Ok("get", _c, _b, _a, "compression"), StringComparison.Ordinal);
        Assert.Contains("is clean", _m.Ok("check", _c, _b, _a), StringComparison.Ordinal);
        _m.ZdbIsContent("tank");
        JsonElement found = Json("import", "--list", _m.PoolDir, "--json");
        Assert.Equal(1, found.GetArrayLength());
        Assert.Equal(3, found[0].GetProperty("devices").GetArrayLength());
        Assert.Empty(found[0].GetProperty("missing").EnumerateArray());
    }

    [Fact]
    public void Two_pools_on_their_devices_are_shown_one_after_the_other()
    {
        Create();
        string other = _m.Files.File("o.img");
        _m.Ok("create", "other", other, "--size", "64M");
        JsonElement status = Json("status", _a, other, _b, _c, "--json");
        Assert.Equal(["tank", "other"], status.EnumerateArray().Select(static s => s.GetProperty("pool").GetString()));
    }

    [Fact]
    public void A_missing_device_is_named_by_path_and_guid_and_nothing_changes()
    {
        Create();
        string guid = Guid(_b);
        byte[][] before = Sums();
        string expected = $"pool 'tank' has 3 devices, 2 given; missing: vdev 1, {_b} (guid {guid})";
        foreach (string[] command in (string[][])[["status"], ["list"], ["get"], ["check"], ["mount", "DIR"], ["mount", "DIR", "--background"], ["set", "atime=off"]])
        {
            string[] rest = [.. command.Skip(1).Select(w => w == "DIR" ? _m.Mnt : w)];
            _m.Refused(expected, [command[0], _c, _a, .. rest]);
        }

        Assert.Equal(before, Sums());
        string away = _m.Files.File("away.img");
        File.Move(_b, away);
        Assert.Contains($"(missing: vdev 1, {_b} (guid {guid}))", _m.Ok("import", "--list", _m.PoolDir), StringComparison.Ordinal);
        Assert.Equal($"vdev 1, {_b} (guid {guid})", Json("import", "--list", _m.PoolDir, "--json")[0].GetProperty("missing")[0].GetString());
        Assert.Contains("is clean", _m.Ok("check", _a, _c, away), StringComparison.Ordinal);
    }

    [Fact]
    public void A_device_given_twice_or_of_another_pool_is_refused()
    {
        Create();
        string other = _m.Files.File("o.img");
        _m.Ok("create", "other", other, "--size", "64M");
        string link = _m.Files.File("link");
        File.CreateSymbolicLink(link, _a);
        string copy = _m.Files.File("copy.img");
        File.Copy(_a, copy);
        byte[][] before = Sums();
        _m.Refused($"{_a} is given twice", "mount", _a, _b, _a, _c, _m.Mnt);
        _m.Refused($"{link} and {_a} are the same device", "mount", _a, _b, link, _c, _m.Mnt);
        _m.Refused("vdev 0 of pool 'tank' is given twice", "mount", _a, _b, _c, copy, _m.Mnt);
        _m.Refused("belongs to pool 'other'", "mount", _a, other, _b, _c, _m.Mnt);
        _m.Refused($"{_a} is given twice", "check", _a, _b, _a, _c);
        _m.Refused("belongs to pool 'other'", "check", _a, _b, _c, other);
        Assert.Equal(before, Sums());
    }

    [Fact]
    public void Create_makes_all_or_none()
    {
        string small = _m.Files.File("small.img");
        File.WriteAllBytes(small, new byte[1 << 20]);
        _m.Refused($"{small} exists already, with 1M", "create", "tank", _a, small, "--size", "64M");
        _m.Refused($"{_a} does not exist", "create", "tank", small, _a);
        _m.Refused($"{_a} is given twice", "create", "tank", _a, _b, _a, "--size", "64M");
        Assert.False(File.Exists(_a) || File.Exists(_b));
        _m.Ok("create", "other", _b, "--size", "64M");
        byte[] before = SHA256.HashData(File.ReadAllBytes(_b));
        _m.Refused($"{_b} holds the pool 'other'", "create", "tank", _a, _b, "--size", "64M");
        Assert.False(File.Exists(_a));
        Assert.Equal(before, SHA256.HashData(File.ReadAllBytes(_b)));
    }

    [FuseFact]
    public void Mounted_in_two_orders_it_keeps_its_files_and_df_shows_the_sum()
    {
        Create();
        _m.Ok("mount", _c, _a, _b, _m.Mnt, "--memory", "64M", "--background");
        _m.Shell($"head -c 90000000 /dev/urandom > {_m.Files.File("big")}; cp {_m.Files.File("big")} {_m.Mnt}/big");
        long blocks = long.Parse(_m.Shell($"df --output=size -B1 {_m.Mnt} | tail -1"));
        Assert.InRange(blocks, 160L << 20, 234L << 20);
        JsonElement status = Json("status", _b, _m.Mnt, "tank", "--json");
        Assert.Equal(1, status.GetArrayLength());
        Assert.Equal([_a, _b, _c], status[0].GetProperty("devices").EnumerateArray().Select(static d => d.GetString()));
        Assert.Equal(3, Json("import", "--list", _m.PoolDir, "--json")[0].GetProperty("devices").GetArrayLength());
        _m.Refused("is no device of the mounted pool tank", "get", _b, _m.Files.File("big"), "atime");
        _m.Unmount();
        Assert.Contains("is clean", _m.Ok("check", _a, _b, _c), StringComparison.Ordinal);
        _m.ZdbIsContent("tank");
        _m.Ok("mount", _b, _m.Mnt, "-o", $"ro,device={_c},device={_a}", "--memory", "64M", "--background");
        _m.Shell($"cmp {_m.Files.File("big")} {_m.Mnt}/big");
        _m.Unmount();
    }

    /// <summary>Three devices, the second one larger.</summary>
    private string Create()
    {
        foreach ((string path, long size) in ((string, long)[])[(_a, 64L << 20), (_b, 106L << 20), (_c, 64L << 20)])
        {
            using FileStream file = File.Create(path);
            file.SetLength(size);
        }

        return _m.Ok("create", "tank", _a, _b, _c);
    }

    private JsonElement Json(params string[] args) => JsonDocument.Parse(_m.Ok(args)).RootElement;

    private byte[][] Sums() => [.. Directory.GetFiles(_m.PoolDir).Order(StringComparer.Ordinal).Select(static f => SHA256.HashData(File.ReadAllBytes(f)))];

    private static string Guid(string path)
    {
        TestMemory.Ensure();
        using var io = ZfsLite.Fs.FileVdevIo.Open(path, readOnly: true);
        return ZfsLite.Fs.VdevLabel.Scan(io).Config!.TopGuid.ToString("x16");
    }
}
