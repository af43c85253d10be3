using System.Security.Cryptography;
using System.Text;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Pools of several top-level vdevs of different sizes: written, read again, judged; and what is said when a device is missing.</summary>
public sealed class StripeTests : IDisposable
{
    private const int Files = 40;
    private const int FileBytes = 600_000;
    private static readonly long[] s_sizes = [64L << 20, 150L << 20, (90L << 20) + 4711];

    private readonly string _folder = Directory.CreateTempSubdirectory("zfslite-stripe-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(9)]
    [InlineData(12)]
    public void Data_lies_on_all_devices_and_is_there_after_a_new_open_in_another_order(int ashift) => Backends.Run(() => WriteAndReadAgain(ashift), seeds: 1);

    [Fact]
    public void A_missing_device_is_named_and_nothing_is_written()
    {
        using var kmem = new KmemScope(64 << 20);
        MemoryVdevIo[] disks = [.. s_sizes.Select(static (size, i) => new MemoryVdevIo(size, $"/dev/m{i}"))];
        PoolFormatter.Format(disks, new PoolCreateOptions { Name = "tank", GuidSeed = 3 });
        for (int missing = 0; missing < disks.Length; missing++)
        {
            IVdevIo[] given = [.. disks.Where((_, i) => i != missing)];
            ulong guid = VdevLabel.Scan(disks[missing]).Config!.TopGuid;
            byte[][] before = [.. disks.Select(Sha)];
            ZfsException e = Assert.Throws<ZfsException>(() => Spa.Open(given, new SpaOpenOptions()));
            Assert.Equal($"pool 'tank' has 3 devices, 2 given; missing: vdev {missing}, /dev/m{missing} (guid {guid:x16})", e.Message);
            Assert.Equal(Errno.ENXIO, e.Errno);
            Assert.Equal(e.Message, MissingVdevs.Error(PoolReader.Open(given)).Message);
            Assert.Equal(before, disks.Select(Sha));
        }
    }

    [Fact]
    public void Without_a_readable_MOS_the_guid_of_a_missing_device_is_still_known()
    {
        using var kmem = new KmemScope(64 << 20);
        MemoryVdevIo[] disks = [.. s_sizes.Select(static (size, i) => new MemoryVdevIo(size, $"/dev/m{i}"))];
        PoolFormatter.Format(disks, new PoolCreateOptions { Name = "tank", GuidSeed = 3 });
        ulong guid = VdevLabel.Scan(disks[2]).Config!.TopGuid;
        foreach (MemoryVdevIo disk in disks)
        {
            disk.Discard((long)Vdev.DataStart, disk.Size - (long)(Vdev.DataStart + Vdev.EndReserve));
        }

        Assert.Equal(
            $"pool 'tank' has 3 devices, 2 given; missing: vdev 2 (guid {guid:x16})",
            Assert.Throws<ZfsException>(() => Spa.Open([disks[0], disks[1]], new SpaOpenOptions())).Message);
        Assert.Contains("missing: vdev 1, vdev 2", Assert.Throws<ZfsException>(() => PoolReader.Open([disks[0]])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_device_given_twice_or_of_another_pool_is_refused_by_name()
    {
        using var kmem = new KmemScope(64 << 20);
        MemoryVdevIo[] disks = [.. s_sizes.Select(static (size, i) => new MemoryVdevIo(size, $"/dev/m{i}"))];
        PoolFormatter.Format(disks, new PoolCreateOptions { Name = "tank", GuidSeed = 3 });
        MemoryVdevIo other = TestPool.Format(name: "other");
        var twice = Assert.Throws<ZfsException>(() => Spa.Open([disks[0], disks[1], disks[0]], new SpaOpenOptions()));
        Assert.Contains("vdev 0 of pool 'tank' is given twice", twice.Message, StringComparison.Ordinal);
        var foreign = Assert.Throws<ZfsException>(() => Spa.Open([disks[0], other, disks[1]], new SpaOpenOptions()));
        Assert.Contains("belongs to pool 'other', not to 'tank'", foreign.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_configuration_too_long_is_refused_before_anything_is_written()
    {
        using var kmem = new KmemScope(64 << 20);
        MemoryVdevIo[] disks = [.. Enumerable.Range(0, 64).Select(static _ => new MemoryVdevIo(64 << 20))];
        var options = new PoolCreateOptions { Name = "tank", DevicePaths = [.. disks.Select(static _ => "/" + new string('x', 200))] };
        Assert.Equal(Errno.EINVAL, Assert.Throws<ZfsException>(() => PoolFormatter.Format(disks, options)).Errno);
        Assert.All(disks, static d => Assert.Equal(0, d.AllocatedBytes));
    }

    [ZfsFuseTheory]
    [Trait("Backend", "os")]
    [InlineData(9)]
    [InlineData(12)]
    public void Zfs_fuse_reads_and_writes_it_and_zdb_finds_no_leak(int ashift)
    {
        using var kmem = new KmemScope(64 << 20);
        string[] paths = [.. s_sizes.Select((_, i) => Path.Combine(_folder, $"d{i}.img"))];
        for (int i = 0; i < paths.Length; i++)
        {
            using FileStream f = File.Create(paths[i]);
            f.SetLength(s_sizes[i]);
        }

        IVdevIo[] Devices() => [.. paths.Select(static p => FileVdevIo.Open(p, readOnly: false))];
        IVdevIo[] devices = Devices();
        PoolFormatter.Format(devices, new PoolCreateOptions { Name = "tank", Ashift = ashift });
        Use(devices, static (_, fs) => WriteFiles(fs, "ours"));
        AssertClean();
        ZfsFuse.Use(_folder, "tank", (_, mnt) =>
        {
            Assert.Equal(Expected("ours"), Enumerable.Range(0, Files).Select(i => SHA256.HashData(File.ReadAllBytes(Path.Combine(mnt, $"ours{i}")))));
            for (int i = 0; i < Files; i++)
            {
                File.WriteAllBytes(Path.Combine(mnt, $"theirs{i}"), Content("theirs", i));
            }

            File.Delete(Path.Combine(mnt, "ours0"));
        });
        AssertClean();
        devices = Devices();
        Array.Reverse(devices);
        Use(devices, static (spa, fs) =>
        {
            Assert.Equal(Expected("theirs"), ReadFiles(fs, "theirs"));
            AssertSpread(spa);
            Assert.Equal(Errno.ENOENT, fs.Lookup(fs.RootObject, "ours0"u8, out _));
            WriteFiles(fs, "more");
        });
        AssertClean();
    }

    private static void WriteAndReadAgain(int ashift)
    {
        using var kmem = new KmemScope(64 << 20);
        MemoryVdevIo[] disks = [.. s_sizes.Select(static (size, i) => new MemoryVdevIo(size, $"/dev/m{i}"))];
        PoolFormatter.Format(disks, new PoolCreateOptions { Name = "tank", Ashift = ashift, GuidSeed = 3 });
        MemoryVdevIo[] after = [.. disks];
        Use(disks, (spa, fs) =>
        {
            WriteFiles(fs, "f");
            Assert.Equal(0, fs.SyncFs());
            AssertSpread(spa);
            Assert.Equal(0, fs.StatFs(out StatFs s));
            long sum = spa.Vdevs.Sum(static v => (long)v.MetaslabCount << v.MetaslabShift);
            Assert.Equal(sum, spa.TotalBytes);
            Assert.InRange((double)s.Blocks * s.BlockSize, sum * 0.85, sum);
            after = [.. disks.Select(static d => d.Clone())];
        });
        Array.Reverse(after);
        Use([after[1], after[0], after[2]], static (spa, fs) => Assert.Equal(Expected("f"), ReadFiles(fs, "f")), last =>
        {
            using PoolReader pool = PoolReader.Open(last);
            CheckResult result = PoolChecker.Run(pool);
            Assert.Empty(result.Findings);
            Assert.True(result.Files > Files);
        });
    }

    private static void Use(IReadOnlyList<IVdevIo> devices, Action<Spa, Zfsvfs> action, Action<IReadOnlyList<IVdevIo>>? closed = null)
    {
        Spa spa = Spa.Open(devices, new SpaOpenOptions { Workers = 2 });
        IVdevIo[] copies = [];
        spa.BeforeDevicesClose = () => copies = closed is null ? [] : [.. devices.Select(static d => ((MemoryVdevIo)d).Clone())];
        Objset os = spa.OpenObjset("tank");
        Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
        try
        {
            action(spa, fs);
        }
        finally
        {
            fs.Unmount();
            spa.CloseObjset(os);
            spa.Close();
        }

        closed?.Invoke(copies);
    }

    /// <summary>Every vdev has its share of the data, the larger ones more.</summary>
    private static void AssertSpread(Spa spa)
    {
        long[] allocated = new long[s_sizes.Length];
        foreach (MetaslabStat m in spa.Allocator.GetMetaslabStats())
        {
            allocated[m.Vdev] += m.Allocated;
        }

        Assert.All(allocated, static bytes => Assert.True(bytes > 2 << 20, $"a vdev has {bytes} bytes"));
        Assert.True(allocated[1] > allocated[0] && allocated[1] > allocated[2], string.Join(' ', allocated));
    }

    private static unsafe void WriteFiles(Zfsvfs fs, string prefix)
    {
        for (int i = 0; i < Files; i++)
        {
            Assert.Equal(0, fs.Create(new Cred(0, 0), fs.RootObject, Encoding.UTF8.GetBytes($"{prefix}{i}"), 0x81A4, 0, default, out ZnodeAttr attr));
            fixed (byte* p = Content(prefix, i))
            {
                Assert.Equal(0, fs.Write(attr.Object, 0, FileBytes, p, ZplWriteFlags.None, out int done));
                Assert.Equal(FileBytes, done);
            }
        }
    }

    private static unsafe IEnumerable<byte[]> ReadFiles(Zfsvfs fs, string prefix)
    {
        var sums = new List<byte[]>();
        for (int i = 0; i < Files; i++)
        {
            Assert.Equal(0, fs.Lookup(fs.RootObject, Encoding.UTF8.GetBytes($"{prefix}{i}"), out ZnodeAttr attr));
            byte[] data = new byte[FileBytes];
            fixed (byte* p = data)
            {
                Assert.Equal(0, fs.Read(attr.Object, 0, FileBytes, p, out int done));
                Assert.Equal(FileBytes, done);
            }

            sums.Add(SHA256.HashData(data));
        }

        return sums;
    }

    private static IEnumerable<byte[]> Expected(string prefix) => Enumerable.Range(0, Files).Select(i => SHA256.HashData(Content(prefix, i)));

    private static byte[] Content(string prefix, int i)
    {
        byte[] data = new byte[FileBytes];
        new Random(prefix.Length + (i * 31)).NextBytes(data);
        return data;
    }

    private static byte[] Sha(MemoryVdevIo disk)
    {
        using var copy = new MemoryStream();
        disk.Save(copy);
        return SHA256.HashData(copy.GetBuffer().AsSpan(0, (int)copy.Length));
    }

    private void AssertClean()
    {
        (int code, string output) = Zdb.Check(_folder, "tank");
        Assert.True(Zdb.IsClean(code, output), $"zdb: exit {code}\n{output}");
    }
}
