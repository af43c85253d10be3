using System.Text.Json;
using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>Slab debugging on a live mount: what is watched, what is live, what fails by order.</summary>
public sealed class CliSlabDebugTests : IDisposable
{
    private readonly CliMount _m = new();

    public void Dispose() => _m.Dispose();

    [FuseFact]
    public void Live_allocations_are_listed_with_their_sites_and_none_is_left_at_the_end()
    {
        _m.Create();
        _m.Mount("--slab-debug", "FZPUL");
        Work();
        string table = _m.Ok("kmem", "leaks", "tank");
        Assert.Contains("ALLOCATED BY", table, StringComparison.Ordinal);
        JsonElement[] sites = [.. JsonDocument.Parse(_m.Ok("kmem", "leaks", "--json")).RootElement.EnumerateArray()];
        JsonElement znodes = Assert.Single(sites, s => s.GetProperty("cache").GetString() == "zfs_znode_cache");
        Assert.StartsWith("ZnodeCache.New (ZnodeCache.cs:", znodes.GetProperty("site").GetString(), StringComparison.Ordinal);
        Assert.InRange(znodes.GetProperty("count").GetInt64(), 50, 200);
        Assert.True(znodes.GetProperty("bytes").GetInt64() > 0);
        _m.Unmount();
        _m.JudgesAreContent();
    }

    [FuseFact]
    public void Allocations_fail_by_order_and_files_are_whole_all_the_same()
    {
        _m.Create();
        _m.Mount("--slab-debug", "A");
        _m.Ok("kmem", "set", "failslab", "probability=20", "ignore-gfp-wait=0");
        Work();
        _m.Ok("sync", "tank");
        JsonElement[] failslab = [.. JsonDocument.Parse(_m.Ok("kmem", "get", "failslab", "--json")).RootElement.EnumerateArray()];
        string Value(string name) => failslab.Single(a => a.GetProperty("attribute").GetString() == name).GetProperty("value").GetString()!;
        Assert.NotEqual("0", Value("stalled"));
        _m.Ok("kmem", "set", "failslab", "probability=0");
        _m.Unmount();
        _m.JudgesAreContent();
        _m.Mount();
        Assert.All(Enumerable.Range(0, 50), i => Assert.Equal(new string((char)('a' + (i % 26)), 5000 + i), File.ReadAllText($"{_m.Mnt}/f{i}")));
        _m.Unmount();
    }

    [FuseFact]
    public void What_is_not_watched_and_what_is_no_letter_is_said()
    {
        _m.Create();
        _m.Refused("there is no 'X'", "mount", _m.Image, _m.Mnt, "--slab-debug", "X");
        _m.Mount();
        _m.Refused("no cache of pool tank is watched for leaks", "kmem", "leaks", "tank");
        _m.Unmount();
    }

    [Fact]
    public void A_log_that_tells_of_memory_that_is_left_fails_its_test()
    {
        string log = Path.Combine(_m.Files.RunDir, "tank-1.log");
        File.WriteAllText(log, "zfslite: warning: memory was not given back by the end of the mount: 1 pages\n");
        Assert.Contains("1 pages", Assert.Throws<InvalidDataException>(_m.Files.CheckLeaks).Message, StringComparison.Ordinal);
        File.Delete(log);
        _m.Files.CheckLeaks();
    }

    private void Work()
    {
        for (int i = 0; i < 50; i++)
        {
            File.WriteAllText($"{_m.Mnt}/f{i}", new string((char)('a' + (i % 26)), 5000 + i));
        }
    }
}
