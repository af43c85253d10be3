using System.Globalization;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Quotas and reservations in a tree of datasets, between ZfsLite and zfs-fuse: each keeps what the other has set.</summary>
[Trait("Backend", "os")]
public sealed class LimitInteropTests : IDisposable
{
    private const string Outer = "tank/a", Inner = "tank/a/b";
    private const ulong M = 1 << 20;
    private static readonly Cred Root = new(0, 0);
    private const string Ours = "used,available,referenced,quota,refquota,reservation,refreservation";
    private readonly string _folder = Directory.CreateTempSubdirectory("zfslite-limits-").FullName;

    private string Image => Path.Combine(_folder, "d0.img");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [ZfsFuseFact]
    public void Limits_of_zfs_fuse_are_kept_and_it_keeps_ours()
    {
        MakeWithZfsFuse();
        SortedDictionary<string, ulong> expected = WorkUnderLimits();
        ZfsFuse.Use(_folder, "tank", (z, mnt) =>
        {
            Assert.Equal(Lines(expected), Lines(Read(z)));
            Assert.Equal(
                $"{5 * M}\n", z.Zfs("get", "-Hp", "-o", "value", "usedbyrefreservation", "tank/a/c"));
            IOException refused = Assert.Throws<IOException>(() => File.WriteAllBytes(Path.Combine(mnt, "a", "b", "more"), new byte[30 * M]));
            Assert.Contains("quota", refused.Message, StringComparison.OrdinalIgnoreCase);
        });
        (int code, string output) = ZfsFuseTools.ZdbCheck(_folder, "tank");
        Assert.True(Zdb.IsClean(code, output), output);
        using var disk = Load();
        using var kmem = new KmemScope(64 << 20);
        using PoolReader pool = PoolReader.Open([disk]);
        Assert.Empty(PoolChecker.Run(pool).Findings);
    }

    [ZfsFuseFact]
    public void Quotas_of_users_and_groups_are_kept_and_read_by_zfs_fuse()
    {
        using (var kmem = new KmemScope(64 << 20))
        {
            Save(TestPool.Format(256 << 20));
        }

        ZfsFuse.Use(_folder, "tank", static (z, _) =>
        {
            z.Zfs("create", Outer);
            z.Zfs("set", "userquota@1234=2M", Outer);
        });
        ulong used;
        using (MemoryVdevIo disk = Load())
        {
            using (var p = new ZplPool(disk, Outer))
            {
                used = WorkUnderUserQuotas(p);
            }

            Save(disk);
        }

        ZfsFuse.Use(_folder, "tank", (z, _) => Assert.Equal(
            $"{5 * M}\n{M}\n{used}\n",
            z.Zfs("get", "-Hp", "-o", "value", "userquota@1234,groupquota@500,userused@1234", Outer)));
        using MemoryVdevIo after = Load();
        using var scope = new KmemScope(64 << 20);
        using PoolReader pool = PoolReader.Open([after]);
        Assert.Empty(PoolChecker.Run(pool).Findings);
    }

    private static ulong WorkUnderUserQuotas(ZplPool p)
    {
        var user = new Cred(1234, 500);
        Assert.Equal(2 * M, p.Spa.GetUserQuota(Outer, isGroup: false, 1234));
        ulong mine = p.Make(p.RootDir, "mine", cred: user);
        ulong others = p.Make(p.RootDir, "others");
        Assert.Equal(0, FillSynced(p, others, 3 * M));
        Assert.Equal(Errno.EDQUOT, FillSynced(p, mine, 4 * M));
        Assert.InRange(p.Spa.GetUserUsed(Outer, isGroup: false, 1234), 2 * M, 3 * M);

        // No file more, and none given: but what others do goes on, and what the user removes.
        Assert.Equal(Errno.EDQUOT, p.Fs.Create(user, p.RootDir, "m"u8, 0x81A4, 0, default, out _));
        Assert.Equal(Errno.EDQUOT, p.Fs.Create(user, p.RootDir, "d"u8, 0x41ED, 0, default, out _));
        Assert.Equal(Errno.EDQUOT, p.Fs.SetXattr(user, others, "user.x"u8, "1"u8, 0));
        Assert.Equal(Errno.EDQUOT, p.Fs.SetAttr(Root, others, SetAttrMask.Uid, new ZnodeAttr { Uid = 1234 }, out _));
        Assert.Equal(0, p.Fs.SetAttr(Root, others, SetAttrMask.Gid, new ZnodeAttr { Gid = 500 }, out _));
        Assert.Equal(0, p.Truncate(mine, M));
        p.Spa.Sync();
        Assert.Equal(0, p.Write(mine, M, new byte[512]));
        p.Spa.SetUserQuota(Outer, isGroup: false, 1234, 5 * M);
        Assert.Equal(0, FillSynced(p, mine, 3 * M));

        // The group has got the other file, of 3 MiB.
        p.Spa.SetUserQuota(Outer, isGroup: true, 500, M);
        Assert.Equal(Errno.EDQUOT, p.Write(mine, 0, new byte[512]));
        Assert.Equal(Errno.EDQUOT, p.Write(others, 0, new byte[512]));
        Assert.Equal(0, p.Fs.SetAttr(Root, others, SetAttrMask.Gid, new ZnodeAttr { Gid = 0 }, out _));
        Assert.Equal(Errno.EDQUOT, p.Fs.SetAttr(Root, others, SetAttrMask.Gid, new ZnodeAttr { Gid = 500 }, out _));
        Assert.Equal(0, p.Write(others, 0, new byte[512]));
        p.Judge();
        Assert.Equal(Errno.EDQUOT, p.Write(mine, 0, new byte[512]));
        Assert.Equal(M, p.Spa.GetUserQuota(Outer, isGroup: true, 500));
        p.Spa.Sync();
        return p.Spa.GetUserUsed(Outer, isGroup: false, 1234);
    }

    /// <summary>Appends up to a size, each piece on disk and accounted before the next.</summary>
    private static int FillSynced(ZplPool p, ulong file, ulong size)
    {
        var data = new byte[128 << 10];
        data.AsSpan().Fill(0x71);
        int error = 0;
        for (ulong at = p.Stat(file).Size; at < size && error == 0; at += (ulong)data.Length)
        {
            error = p.Write(file, at, data);
            p.Spa.Sync();
        }

        return error;
    }

    /// <summary>Datasets and limits as zfs-fuse makes them.</summary>
    private void MakeWithZfsFuse()
    {
        using (var kmem = new KmemScope(64 << 20))
        {
            Save(TestPool.Format(256 << 20));
        }

        ZfsFuse.Use(_folder, "tank", static (z, mnt) =>
        {
            z.Zfs("create", Outer);
            z.Zfs("create", Inner);
            z.Zfs("set", "quota=24M", Outer);
            z.Zfs("set", "refquota=8M", Inner);
            z.Zfs("set", "reservation=10M", Inner);
            z.Zfs("set", "refreservation=4M", Inner);
            z.Zfs("create", "-o", "refreservation=3M", "tank/a/c");
            File.WriteAllBytes(Path.Combine(mnt, "a", "b", "theirs"), new byte[M]);
        });
    }

    /// <summary>Mounts the inner dataset, meets its limits one after the other, and sets others. Returns what zfs-fuse must see.</summary>
    private SortedDictionary<string, ulong> WorkUnderLimits()
    {
        using MemoryVdevIo disk = Load();
        var expected = new SortedDictionary<string, ulong>(StringComparer.Ordinal);
        using (var p = new ZplPool(disk, Inner))
        {
            Assert.Null(p.Spa.ReadOnlyReason);
            Assert.Equal([24 * M, 0, 0, 0], LimitsOf(p.Spa, Outer));
            Assert.Equal([0, 8 * M, 4 * M, 10 * M], LimitsOf(p.Spa, Inner));
            ulong file = p.Make(p.RootDir, "f");
            Assert.Equal(Errno.EDQUOT, Fill(p, file));
            p.Spa.Sync();
            Assert.InRange(p.Objset.Dataset!.UsedBytes, 8 * M, 10 * M);

            // What c has reserved counts as used in a: b may have 24 less 3.
            p.Spa.SetLimit(Inner, "refquota", 0);
            Assert.Equal(Errno.EDQUOT, Fill(p, file));
            p.Spa.Sync();
            Assert.InRange(p.Spa.FindDataset(Outer)!.Dir.UsedBytes, 24 * M, 26 * M);
            Assert.InRange(p.Objset.Dataset!.UsedBytes, 20 * M, 22 * M);
            Assert.Equal(0, p.Fs.StatFs(out StatFs full));
            Assert.Equal(0UL, full.BlocksAvailable);
            Assert.Equal(0, p.Truncate(file, 2 * M));
            p.Spa.Sync();

            // More than the quota of the directory above leaves can't be reserved below it.
            Assert.Equal(Errno.ENOSPC, Assert.Throws<ZfsException>(() => p.Spa.SetLimit(Inner, "refreservation", 30 * M)).Errno);
            p.Spa.SetLimit(Outer, "quota", 40 * M);
            p.Spa.SetLimit(Outer, "reservation", 30 * M);
            p.Spa.SetLimit(Inner, "refreservation", 12 * M);
            p.Spa.SetLimit(Inner, "reservation", 16 * M);
            p.Spa.SetLimit(Inner, "refquota", 20 * M);
            p.Spa.SetLimit("tank/a/c", "refreservation", (5 * M) + p.Spa.FindDataset("tank/a/c")!.UniqueBytes);
            p.Judge();
            foreach (DatasetInfo d in p.Spa.ListDatasets().Where(static d => d.Name is Outer or Inner))
            {
                expected[$"{d.Name} used"] = d.Used;
                expected[$"{d.Name} available"] = d.Available;
                expected[$"{d.Name} referenced"] = d.Referenced;
                foreach (string name in Spa.LimitNames)
                {
                    expected[$"{d.Name} {name}"] = p.Spa.GetLimit(d.Name, name);
                }
            }

        }

        Save(disk);
        return expected;
    }

    private static ulong[] LimitsOf(Spa spa, string dataset) => [.. Spa.LimitNames.Select(n => spa.GetLimit(dataset, n))];

    private static SortedDictionary<string, ulong> Read(ZfsFuse z)
    {
        var values = new SortedDictionary<string, ulong>(StringComparer.Ordinal);
        foreach (string line in z.Zfs("get", "-Hp", "-o", "name,property,value", Ours, Outer, Inner).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] fields = line.Split('\t');
            values[$"{fields[0]} {fields[1]}"] = ulong.Parse(fields[2], CultureInfo.InvariantCulture);
        }

        return values;
    }

    private static string Lines(SortedDictionary<string, ulong> values) => string.Join('\n', values.Select(static v => $"{v.Key} {v.Value}"));

    private static int Fill(ZplPool p, ulong file)
    {
        var data = new byte[128 << 10];
        data.AsSpan().Fill(0x71);
        for (ulong at = p.Stat(file).Size; at < 64 * M; at += (ulong)data.Length)
        {
            int error = p.Write(file, at, data);
            if (error != 0)
            {
                return error;
            }
        }

        return 0;
    }

    private void Save(MemoryVdevIo disk)
    {
        using FileStream f = File.Create(Image);
        disk.Save(f);
    }

    private MemoryVdevIo Load()
    {
        using FileStream f = File.OpenRead(Image);
        return MemoryVdevIo.Load(f);
    }
}
