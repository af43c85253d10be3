using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Every file of every golden pool, held against its manifests.</summary>
public sealed class GoldenPoolTests : IDisposable
{
    private readonly KmemScope _kmem = new(64 << 20);

    public void Dispose() => _kmem.Dispose();

    [GoldenFact("golda")]
    public void Golda_reads_as_its_manifests_say() => CheckAll("golda", 16, 2757, 2767);

    [GoldenFact("golda12")]
    public void Golda12_with_4_KiB_sectors_reads_as_its_manifests_say() => CheckAll("golda12", 2, 14, 15);

    [GoldenFact("goldc")]
    public void Goldc_with_a_log_device_reads_as_its_manifests_say() => CheckAll("goldc", 2, 17, 0);

    [GoldenFact("goldc")]
    public void Goldc_reads_without_its_log_device()
    {
        using PoolReader pool = PoolReader.Open([GoldenPools.Load("goldc", "c0.img.gz")]);
        Assert.Contains(null, pool.Vdevs);
        Assert.Equal(10, GoldenManifest.Check(pool.OpenFileSystem("goldc"), Path.Combine(GoldenPools.Folder("goldc"), "manifest.goldc.jsonl"), "/fs"));
    }

    [GoldenFact("goldd")]
    public void Goldd_reads_in_the_state_before_its_log()
    {
        using PoolReader pool = PoolReader.Open(GoldenPools.LoadAll("goldd"));
        Assert.Equal(PoolState.Active, pool.Config.State);
        OfflineZpl zpl = pool.OpenFileSystem(pool.Datasets().First());
        Assert.Equal(8, GoldenManifest.Check(zpl, Path.Combine(GoldenPools.Folder("goldd"), "manifest.before-zil.jsonl")));
        Assert.False(zpl.Objset.Phys.ZilHeader.Log.IsHole);
    }

    [GoldenFact("goldmini")]
    public void Goldmini_reads_completely()
    {
        using PoolReader pool = PoolReader.Open(GoldenPools.LoadAll("goldmini"));
        OfflineZpl zpl = pool.OpenFileSystem(Assert.Single(pool.Datasets()));
        Assert.Equal(["/", "/hello.txt", "/sub", "/sym"], zpl.Tree().Select(e => e.Path).Order(StringComparer.Ordinal));
        Assert.Equal("hello.txt", zpl.ReadLink(zpl.Resolve("/sym")!.Value));
        ulong hello = zpl.Resolve("/hello.txt")!.Value;
        var text = new byte[100];
        int n = zpl.ReadFile(hello, 0, text);
        Assert.Equal((ulong)n, zpl.ReadZnode(hello).Size);
        Assert.StartsWith("hello", System.Text.Encoding.UTF8.GetString(text, 0, n), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void A_disk_without_labels_is_refused_by_its_path()
    {
        ZfsException e = Assert.Throws<ZfsException>(() => PoolReader.Open([new MemoryVdevIo(64 << 20, "/dev/blank")]));
        Assert.Contains("/dev/blank", e.Message);
    }

    [GoldenFact("goldd")]
    public void Devices_of_two_pools_are_refused() =>
        Assert.Contains("goldmini", Assert.Throws<ZfsException>(() =>
            PoolReader.Open([GoldenPools.LoadAll("goldd")[0], GoldenPools.LoadAll("goldmini")[0]])).Message);

    private static string[] Mounts(PoolReader pool, string name)
    {
        string fs = name.Split('@')[0] + "/";
        return [.. pool.Datasets().Where(d => d.Name.StartsWith(fs, StringComparison.Ordinal)).Select(d => d.Name[(fs.Length - 1)..])];
    }

    /// <summary>All datasets of a pool; each must have a manifest, and all manifests must be used.</summary>
    private static void CheckAll(string name, int datasets, int entries, int onDiskEntries)
    {
        string folder = GoldenPools.Folder(name);
        using PoolReader pool = PoolReader.Open(GoldenPools.LoadAll(name));
        int seenDatasets = 0, seenEntries = 0, seenOnDisk = 0;
        foreach (OfflineDataset ds in pool.Datasets())
        {
            string file = (ds.IsSnapshot ? "snap." : "") + ds.Name.Replace('/', '_');
            OfflineZpl zpl = pool.OpenFileSystem(ds);
            string manifest = Path.Combine(folder, $"manifest.{file}.jsonl");
            Assert.True(File.Exists(manifest), manifest);
            seenDatasets++;
            seenEntries += GoldenManifest.Check(zpl, manifest, Mounts(pool, ds.Name));
            string onDisk = Path.Combine(folder, $"ondisk.{file}.jsonl.gz");
            if (File.Exists(onDisk))
            {
                seenOnDisk += GoldenManifest.CheckOnDisk(zpl, onDisk);
            }
        }

        Assert.Equal((datasets, entries, onDiskEntries), (seenDatasets, seenEntries, seenOnDisk));
    }
}
