using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs.Tests;

/// <summary>The life of files in memory: open and unlinked, access times, eviction, extended attributes.</summary>
[Trait("Backend", "os")]
public sealed class ZplLifeTests
{
    /// <summary>Longer than a tick of the clock that stamps files.</summary>
    private const long ClockTickNs = 12_000_000;

    [Fact]
    public void An_unlinked_open_file_lives_until_the_last_close()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(0, p.Write(file, 0, ZplBasicTests.RandomBytes(1, 100_000)));
        Assert.Equal(0, p.Fs.Open(file, false));
        Assert.Equal(0, p.Fs.Open(file, false));
        Assert.Equal(0, p.Unlink(p.RootDir, "f"));
        Assert.Equal(0U, p.Stat(file).Links);
        Assert.Equal(0, p.Write(file, 100_000, "more"u8));
        Assert.Equal(100_004, p.Read(file).Length);
        Assert.Equal(Errno.ENOENT, p.Link(file, p.RootDir, "back"));
        Assert.Equal(0, p.Fs.Close(file));
        Assert.Equal(100_004UL, p.Stat(file).Size);
        Assert.Equal(0, p.Fs.Close(file));
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(file, out _));
        Assert.Equal(Errno.EBADF, p.Fs.Close(file));
        p.Judge();
        Assert.Equal(0UL, QueueLength(p));
    }

    [Fact]
    public void What_a_crash_leaves_unlinked_is_freed_at_the_next_mount()
    {
        using var p = new ZplPool();
        ulong big = p.Make(p.RootDir, "big");
        Assert.Equal(0, p.Write(big, 0, ZplBasicTests.RandomBytes(1, 8 << 20)));
        Assert.Equal(0, p.SetXattr(big, "user.a", new byte[3000]));
        Assert.Equal(0, p.SetXattr(big, "user.b", "b"u8));
        ulong dir = p.MakeDir(p.RootDir, "dir");
        Assert.Equal(0, p.Fs.Open(big, false));
        Assert.Equal(0, p.Fs.Open(dir, false));
        Assert.Equal(0, p.Unlink(p.RootDir, "big"));
        Assert.Equal(0, p.Rmdir(p.RootDir, "dir"));
        Assert.Equal(Errno.ENOENT, p.TryMake(dir, "late"));
        Assert.Equal(0, p.Fs.SyncFs());
        Assert.Equal(2UL, QueueLength(p));
        p.Crash();
        Assert.Equal(0UL, QueueLength(p));
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(big, out _));
        Assert.Equal(0, p.Fs.SyncFs());
        p.Judge();
        Assert.Equal(0, p.Fs.StatFs(out StatFs stat));
        Assert.True(stat.Blocks - stat.BlocksFree < 2000, $"{stat.Blocks - stat.BlocksFree} sectors still used");
    }

    [Fact]
    public void Xattrs_are_set_listed_replaced_and_removed()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        ulong dir = p.MakeDir(p.RootDir, "d");
        foreach (ulong obj in (ulong[])[file, dir])
        {
            Assert.Empty(p.ListXattr(obj));
            Assert.Null(p.GetXattr(obj, "user.one"));
            Assert.Equal(Errno.ENODATA, p.SetXattr(obj, "user.one", "x"u8, 2));
            Assert.Equal(0, p.SetXattr(obj, "user.one", "first"u8, 1));
            Assert.Equal(Errno.EEXIST, p.SetXattr(obj, "user.one", "x"u8, 1));
            Assert.Equal(0, p.SetXattr(obj, "user.one", ZplBasicTests.RandomBytes(2, 65536), 2));
            Assert.Equal(0, p.SetXattr(obj, "trusted.empty", default));
            Assert.Equal(0, p.SetXattr(obj, "user." + new string('n', 250), "long name"u8));
            Assert.Equal(Errno.E2BIG, p.SetXattr(obj, "user.two", new byte[65537]));
            Assert.Equal(Errno.EOPNOTSUPP, p.SetXattr(obj, "system.posix_acl_access", "x"u8));
            Assert.Equal(Errno.EOPNOTSUPP, p.Fs.GetXattr(obj, "system.posix_acl_default"u8, default, out _));
            Assert.Equal(Errno.ERANGE, p.Fs.GetXattr(obj, "user.one"u8, new byte[10], out _));
            Assert.Equal(Errno.ERANGE, p.Fs.ListXattr(obj, new byte[10], out _));
        }

        p.Judge();
        foreach (ulong obj in (ulong[])[file, dir])
        {
            Assert.Equal(["trusted.empty", "user." + new string('n', 250), "user.one"], p.ListXattr(obj));
            Assert.Equal(ZplBasicTests.RandomBytes(2, 65536), p.GetXattr(obj, "user.one"));
            Assert.Empty(p.GetXattr(obj, "trusted.empty")!);
            Assert.Equal(0, p.RemoveXattr(obj, "user.one"));
            Assert.Equal(Errno.ENODATA, p.RemoveXattr(obj, "user.one"));
            Assert.Equal(2, p.ListXattr(obj).Count);
        }

        p.ReadOffline(zpl =>
        {
            ZnodePhys owner = zpl.ReadZnode(file);
            ZnodePhys x = zpl.ReadZnode(owner.Xattr);
            Assert.Equal((0x43FFUL, 0x40800000145UL, file, 2UL, 4UL), (x.Mode, x.Flags, x.Parent, x.Links, x.Size));
            Assert.Equal(["trusted.empty", "user." + new string('n', 250)], zpl.ReadXattrs(file).Keys.Order(StringComparer.Ordinal));
        });
        Assert.Equal(0, p.Unlink(p.RootDir, "f"));
        Assert.Equal(0, p.Rmdir(p.RootDir, "d"));
        p.Judge();
    }

    [Fact]
    public void Objects_of_xattrs_cannot_be_named_from_outside()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(0, p.SetXattr(file, "user.x", "x"u8));
        ulong x = 0;
        p.ReadOffline(zpl => x = zpl.ReadZnode(file).Xattr);
        Assert.NotEqual(0UL, x);
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(x, out _));
        Assert.Equal(Errno.ESTALE, p.Lookup(x, "user.x"));
    }

    [Theory]
    [InlineData(AtimeMode.Off, false, false)]
    [InlineData(AtimeMode.Relatime, true, false)]
    [InlineData(AtimeMode.On, true, true)]
    public void Reads_change_the_access_time_as_the_mode_says(AtimeMode mode, bool first, bool second)
    {
        using var p = new ZplPool(mode);
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(0, p.Write(file, 0, "data"u8));
        Assert.Equal(mode == AtimeMode.Off, p.Fs.KeepCache(file));
        ZnodeAttr a = p.Stat(file);
        Kthread.Sleep(ClockTickNs);
        p.Read(file);
        ZnodeAttr b = p.Stat(file);
        Kthread.Sleep(ClockTickNs);
        p.Read(file);
        ZnodeAttr c = p.Stat(file);
        Assert.Equal(first, IsLater(b, a));
        Assert.Equal(second, IsLater(c, b));
        Assert.Equal((a.CtimeSec, a.CtimeNsec, a.MtimeNsec), (c.CtimeSec, c.CtimeNsec, c.MtimeNsec));
        Assert.Equal(mode != AtimeMode.On, p.Fs.KeepCache(file));
        p.Remount(mode);
        ZnodeAttr d = p.Stat(file);
        Assert.Equal((c.AtimeSec, c.AtimeNsec), (d.AtimeSec, d.AtimeNsec));
    }

    [Fact]
    public void A_given_access_time_wins_over_one_in_memory()
    {
        using var p = new ZplPool(AtimeMode.On);
        ulong file = p.Make(p.RootDir, "f");
        p.Read(file);
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, file, SetAttrMask.Atime, new ZnodeAttr { AtimeSec = 12345, AtimeNsec = 6 }, out _));
        p.Remount();
        Assert.Equal((12345L, 6U), (p.Stat(file).AtimeSec, p.Stat(file).AtimeNsec));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Reclaim_evicts_and_no_access_time_is_lost(bool mayEnterFs)
    {
        using var p = new ZplPool(AtimeMode.On, policy: mayEnterFs ? KmemPolicy.None : KmemPolicy.Fstrans);
        var files = new List<ulong>();
        for (int i = 0; i < 50; i++)
        {
            files.Add(p.Make(p.RootDir, "f" + i));
        }

        Assert.Equal(0, p.Fs.SyncFs());
        var times = new Dictionary<ulong, (long, uint)>();
        foreach (ulong f in files.Take(25))
        {
            p.Read(f);
            times[f] = (p.Stat(f).AtimeSec, p.Stat(f).AtimeNsec);
        }

        ZnodeCache cache = p.Fs.Znodes;
        var control = new ShrinkControl(mayEnterFs, false);
        long unused = cache.Count(control);
        Assert.True(unused >= 50);
        cache.Scan(control, unused);
        for (int i = 0; i < 200 && cache.Stats.InactiveQueued > 0; i++)
        {
            ZfsLite.Kmem.Spl.Kthread.Sleep(10_000_000);
        }

        p.Fs.SyncFs();
        ZnodeCacheStats s = cache.Stats;
        Assert.True(s.EvictedClean >= 25, $"{s.EvictedClean} evicted clean");
        Assert.Equal(mayEnterFs ? 25 : 0, s.EvictedInReclaimWithTx);
        Assert.Equal(mayEnterFs ? 0 : 25, s.HandedToInactiveQueue);
        Assert.Equal(mayEnterFs ? 0 : 25, s.InactiveDrained);
        Assert.Equal(0, s.InactiveQueued);
        foreach ((ulong f, (long, uint) time) in times)
        {
            Assert.Equal(time, (p.Stat(f).AtimeSec, p.Stat(f).AtimeNsec));
        }
    }

    [Fact]
    public void A_full_inactive_queue_keeps_the_znode()
    {
        using var p = new ZplPool(AtimeMode.On);
        p.Fs.Znodes.InactiveMax = 0;
        ulong file = p.Make(p.RootDir, "f");
        p.Read(file);
        ZnodeAttr before = p.Stat(file);
        p.Fs.Znodes.Scan(new ShrinkControl(false, true), 100);
        Assert.True(p.Fs.Znodes.Stats.InactiveQueueFull > 0);
        p.Remount();
        Assert.Equal(before.AtimeNsec, p.Stat(file).AtimeNsec);
    }

    [Fact]
    public void Fsync_makes_a_file_survive_a_crash()
    {
        using var p = new ZplPool();
        ulong dir = p.MakeDir(p.RootDir, "d");
        ulong file = p.Make(dir, "f");
        byte[] data = ZplBasicTests.RandomBytes(4, 200_000);
        Assert.Equal(0, p.Write(file, 0, data));
        Assert.Equal(0, p.Fs.Fsync(file));
        p.Crash();
        Assert.Equal(data, p.Read(p.Find(p.Find(p.RootDir, "d"), "f")));
    }

    private static bool IsLater(ZnodeAttr a, ZnodeAttr b) => (a.AtimeSec, a.AtimeNsec).CompareTo((b.AtimeSec, b.AtimeNsec)) > 0;

    private static ulong QueueLength(ZplPool p)
    {
        Dnode master = p.Objset.HoldObject(1);
        Assert.Equal(0, Zap.Lookup(master, "DELETE_QUEUE", out ulong queue));
        master.Release();
        Dnode dn = p.Objset.HoldObject(queue);
        ulong count = Zap.Count(dn);
        dn.Release();
        return count;
    }
}
