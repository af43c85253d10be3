using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Freshly formatted pools, judged by zdb and by zfs-fuse.</summary>
public sealed class FormatTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("zfslite-format-").FullName;
    private readonly KmemScope _kmem = new(64 << 20);

    public void Dispose()
    {
        _kmem.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    public static TheoryData<int, int, long> Shapes => new()
    {
        { 9, 1, 64L << 20 },
        { 12, 1, 64L << 20 },
        { 9, 2, 100L << 20 },
        { 12, 5, 80L << 20 },
        { 13, 1, 64L << 20 },
        { 9, 1, (70L << 20) + 12345 },
        { 9, 1, 3L << 40 },
    };

    [ZfsFuseTheory]
    [MemberData(nameof(Shapes))]
    public void A_new_pool_is_clean_to_zdb(int ashift, int devices, long size)
    {
        Create("tank", ashift, devices, size);
        AssertClean("tank");
    }

    [ZfsFuseTheory]
    [InlineData(9, 1)]
    [InlineData(12, 2)]
    public void Zfs_fuse_imports_writes_and_exports_a_new_pool_that_stays_clean(int ashift, int devices)
    {
        Create("tank", ashift, devices, 96L << 20);
        byte[] data = new byte[3_000_000];
        new Random(5).NextBytes(data);
        ZfsFuse.Use(_folder, "tank", (z, mnt) =>
        {
            Assert.Equal("-", z.Zfs("get", "-H", "-o", "value", "origin", "tank").Trim());
            Assert.Equal("on", z.Zfs("get", "-H", "-o", "value", "compression", "tank").Trim());
            Assert.Equal("65536", z.Zfs("get", "-Hp", "-o", "value", "recordsize", "tank").Trim());
            File.WriteAllBytes(Path.Combine(mnt, "random"), data);
            Directory.CreateDirectory(Path.Combine(mnt, "sub"));
            File.WriteAllText(Path.Combine(mnt, "sub", "hello"), "hello");
            Assert.Equal(data, File.ReadAllBytes(Path.Combine(mnt, "random")));
        });
        AssertClean("tank");
        ZfsFuse.Use(_folder, "tank", (z, mnt) =>
        {
            Assert.Equal(data, File.ReadAllBytes(Path.Combine(mnt, "random")));
            z.Zfs("snapshot", "tank@s");
            File.Delete(Path.Combine(mnt, "random"));
            z.Zfs("create", "tank/child");
        });
        AssertClean("tank");
    }

    [ZfsFuseFact]
    public void A_pool_left_active_is_clean_and_is_imported_by_force()
    {
        Create("busy", 9, 1, 64L << 20, exported: false);
        AssertClean("busy");
        using (ZfsFuse z = ZfsFuse.Start())
        {
            Assert.Contains("in use", Assert.Throws<InvalidOperationException>(() => z.Import(_folder, "busy")).Message, StringComparison.Ordinal);
            z.Import(_folder, "busy", force: true);
            Assert.Empty(Directory.GetFileSystemEntries(z.MountPoint("busy")));
            z.Export("busy");
        }

        AssertClean("busy");
    }

    [Fact]
    public void A_device_below_64_MiB_is_refused_with_its_name()
    {
        using var io = new MemoryVdevIo((64 << 20) - 1, "/dev/tiny");
        ZfsException e = Assert.Throws<ZfsException>(() => PoolFormatter.Format([io], new PoolCreateOptions { Name = "p" }));
        Assert.Equal(Errno.EOVERFLOW, e.Errno);
        Assert.Contains("/dev/tiny", e.Message, StringComparison.Ordinal);
        Assert.Equal(0, io.AllocatedBytes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("9lives")]
    [InlineData("mirror1")]
    [InlineData("a/b")]
    [InlineData("a@b")]
    [InlineData("log")]
    [InlineData("c0t0")]
    public void Names_that_no_pool_may_have_are_refused(string name)
    {
        using var io = new MemoryVdevIo(64 << 20);
        Assert.Equal(Errno.EINVAL, Assert.Throws<ZfsException>(() => PoolFormatter.Format([io], new PoolCreateOptions { Name = name })).Errno);
        Assert.Equal(0, io.AllocatedBytes);
    }

    [Fact]
    public void The_same_seed_gives_the_same_identity()
    {
        ulong[] guids = new ulong[3];
        for (int i = 0; i < 3; i++)
        {
            using var io = new MemoryVdevIo(64 << 20);
            guids[i] = PoolFormatter.Format([io], new PoolCreateOptions { Name = "p", GuidSeed = i < 2 ? 7UL : 8 });
            VdevLabelScan scan = VdevLabel.Scan(io);
            Assert.Equal(15, scan.ValidLabels);
            Assert.Equal(guids[i], scan.Config!.PoolGuid);
            Assert.Equal(4UL, scan.Best.Txg);
        }

        Assert.Equal(guids[0], guids[1]);
        Assert.NotEqual(guids[0], guids[2]);
    }

    private void Create(string pool, int ashift, int devices, long size, bool exported = true)
    {
        FileVdevIo[] ios = new FileVdevIo[devices];
        for (int i = 0; i < devices; i++)
        {
            string path = Path.Combine(_folder, $"d{i}.img");
            using (FileStream f = File.Create(path))
            {
                f.SetLength(size);
            }

            ios[i] = FileVdevIo.Open(path, readOnly: false);
        }

        PoolFormatter.Format(ios, new PoolCreateOptions
        {
            Name = pool,
            Ashift = ashift,
            Compression = ZioCompressType.On,
            RecordSize = 65536,
            Atime = false,
            Exported = exported,
        });
        foreach (FileVdevIo io in ios)
        {
            io.Dispose();
        }
    }

    private void AssertClean(string pool)
    {
        (int code, string output) = ZfsFuseTools.ZdbCheck(_folder, pool);
        Assert.True(code == 0 && output.Contains("No leaks", StringComparison.Ordinal), $"zdb: exit {code}\n{output}");
    }
}
