using System.Text;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>The intent log: what was committed survives a crash that the last txg does not, through every kind of record.</summary>
[Trait("Backend", "os")]
public sealed class ZilTests
{
    private static byte[] Text(string s) => Encoding.UTF8.GetBytes(s);

    [GoldenFact("goldd")]
    public void The_log_of_goldd_replays_to_its_manifest()
    {
        using var p = new ZplPool(GoldenPools.Load("goldd", "d0.img.gz"), "goldd");
        Assert.True(p.Fs.LogStats.Replayed > 20, $"{p.Fs.LogStats.Replayed} records");
        p.ReadOffline(zpl =>
        {
            Assert.True(zpl.Objset.Phys.ZilHeader.Log.IsHole);
            Assert.Equal(16, GoldenManifest.Check(zpl, Path.Combine(GoldenPools.Folder("goldd"), "manifest.after-replay.jsonl"), times: false));
        });
        Assert.Equal(0, p.Fs.LogStats.Replayed);
    }

    [Fact]
    public void What_was_fsynced_is_there_after_a_crash_and_no_txg_was_waited_for()
    {
        using var p = new ZplPool();
        ulong first = p.Make(p.RootDir, "first");
        Assert.Equal(0, p.Fs.Fsync(first));
        ulong txg = p.Spa.Txg.SyncedTxg;
        ulong obj = p.Make(p.RootDir, "f");
        Assert.Equal(0, p.Write(obj, 0, Text("hello")));
        Assert.Equal(0, p.Fs.Fsync(obj));
        ulong lost = p.Make(p.RootDir, "not committed");
        Assert.NotEqual(0UL, lost);
        Assert.Equal(txg, p.Spa.Txg.SyncedTxg);
        p.Crash();
        Assert.Equal(2, p.Fs.LogStats.Replayed);
        Assert.Equal(["f", "first"], p.List(p.RootDir));
        Assert.Equal(obj, p.Find(p.RootDir, "f"));
        Assert.Equal("hello", Encoding.UTF8.GetString(p.Read(obj)));
        p.Judge();
    }

    [Fact]
    public void A_commit_writes_the_contents_of_its_own_object_alone()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        ulong b = p.Make(p.RootDir, "b");
        Assert.Equal(0, p.Write(a, 0, Text("aaaa")));
        Assert.Equal(0, p.Write(b, 0, Text("bbbb")));
        Assert.Equal(0, p.Fs.Fsync(b));
        p.Crash();
        Assert.Empty(p.Read(p.Find(p.RootDir, "a")));
        Assert.Equal("bbbb", Encoding.UTF8.GetString(p.Read(b)));
        p.Judge(zdb: false);
    }

    [Fact]
    public void Every_kind_of_change_is_replayed()
    {
        using var p = new ZplPool();
        ulong a = ChangeEverything(p, out ulong tmp);
        List<string> before = Tree(p);
        byte[] contents = p.Read(a);
        p.Crash();
        Assert.Equal(before, Tree(p));
        Assert.Equal(contents, p.Read(a));
        Assert.Equal("renamed, and never fsynced", Encoding.UTF8.GetString(p.Read(tmp)));
        Assert.Equal(["user.one", "user.two"], p.ListXattr(a));
        Assert.Equal(Text("one"), p.GetXattr(a, "user.one"));
        Assert.Equal(65536, p.GetXattr(a, "user.two")!.Length);
        Assert.Equal((-5L, 9u), (p.Stat(a).MtimeSec, p.Stat(a).MtimeNsec));
        p.Judge();
    }

    /// <summary>Every operation that has a record, and a commit. Returns the committed file.</summary>
    internal static ulong ChangeEverything(ZplPool p, out ulong tmp)
    {
        ulong a = Begin(p);
        ulong dir = p.MakeDir(p.RootDir, "dir", 0x45FD);
        p.Make(dir, "inner", 0x81B4, cred: new Cred(1000, 2000));
        p.Make(p.RootDir, "short", 0xA1FF, "to/somewhere");
        p.Make(p.RootDir, "long", 0xA1FF, new string('x', 1000));
        p.Make(p.RootDir, "fifo", 0x11A4);
        p.Make(p.RootDir, "dev", 0x21A4, rdev: 0x0103);
        foreach ((string name, SetAttrMask mask) in (ReadOnlySpan<(string, SetAttrMask)>)[
            ("chmod", SetAttrMask.Mode), ("chown", SetAttrMask.Uid | SetAttrMask.Gid), ("both", SetAttrMask.Mode | SetAttrMask.Uid)])
        {
            ulong f = p.Make(p.RootDir, name);
            Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, f, mask, new ZnodeAttr { Mode = 0x1C0, Uid = 8, Gid = 9 }, out _));
            Assert.Equal(0, p.Fs.Fsync(f));
        }

        ulong gone = p.Make(p.RootDir, "gone");
        Assert.Equal(0, p.Write(gone, 0, new byte[100_000]));
        Assert.Equal(0, p.Unlink(p.RootDir, "gone"));
        p.MakeDir(p.RootDir, "gone too");
        Assert.Equal(0, p.Rmdir(p.RootDir, "gone too"));
        Assert.Equal(0, p.Write(a, 0, [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i * 7))]));
        Assert.Equal(0, p.Fs.Fallocate(a, 3, 131_072, 131_072));
        Assert.Equal(0, p.Truncate(a, 290_001));
        Assert.Equal(0, p.Link(a, dir, "a too"));
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, a, SetAttrMask.Mode | SetAttrMask.Uid | SetAttrMask.Mtime,
            new ZnodeAttr { Mode = 0x9C0, Uid = 7, MtimeSec = -5, MtimeNsec = 9 }, out _));
        Assert.Equal(0, p.SetXattr(a, "user.one", Text("one")));
        Assert.Equal(0, p.SetXattr(a, "user.two", new byte[65536]));
        Assert.Equal(0, p.SetXattr(a, "user.three", Text("3")));
        Assert.Equal(0, p.RemoveXattr(a, "user.three"));
        tmp = p.Make(p.RootDir, "tmp");
        Assert.Equal(0, p.Write(tmp, 0, Text("renamed, and never fsynced")));
        Assert.Equal(0, p.Rename(p.RootDir, "tmp", dir, "inner"));
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.Equal(0, p.Fs.LogStats.Synced);
        return a;
    }

    [Fact]
    public void An_exchange_has_no_record_and_is_synced()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        ulong b = p.Make(p.RootDir, "b");
        Assert.Equal(0, p.Rename(p.RootDir, "a", p.RootDir, "b", 2));
        Assert.Equal(0, p.Fs.Fsync(b));
        Assert.Equal(1, p.Fs.LogStats.Synced);
        p.Crash();
        Assert.Equal(b, p.Find(p.RootDir, "a"));
        Assert.Equal(a, p.Find(p.RootDir, "b"));
    }

    [Fact]
    public void Blocks_of_the_log_are_freed_as_txgs_go_by()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        for (int i = 0; i < 200; i++)
        {
            Assert.Equal(0, p.Write(a, (ulong)i * 10, Text("0123456789")));
            Assert.Equal(0, p.Fs.Fsync(a));
        }

        Assert.True(p.Fs.LogStats.Blocks > 200);
        Assert.Equal(0, p.Spa.Sync());
        Assert.Equal(0, p.Spa.Sync());
        Assert.InRange(p.Fs.LogStats.Blocks, 1, 3);
        Assert.Equal(0, p.Fs.LogStats.ItxBytes);
        p.Judge();
    }

    [Fact]
    public void A_second_crash_in_the_middle_of_a_log_that_goes_on_is_replayed_too()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        for (int round = 0; round < 5; round++)
        {
            for (int i = 0; i < 20; i++)
            {
                p.Make(p.RootDir, $"f{round}-{i}");
                if (i % 3 == 0)
                {
                    Assert.Equal(0, p.Write(a, (ulong)i * 5000, new byte[5000]));
                    Assert.Equal(0, p.Fs.Fsync(a));
                }

                if (i == 10)
                {
                    Assert.Equal(0, p.Spa.Sync());
                }
            }

            Assert.Equal(0, p.Fs.Fsync(p.RootDir));
            p.Crash();
            Assert.Equal((20 * (round + 1)) + 1, p.List(p.RootDir).Count);
        }

        p.Judge();
    }

    [Fact]
    public void A_record_that_was_torn_ends_the_log_and_what_came_before_is_there()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        Assert.Equal(0, p.Write(a, 0, Text("first")));
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.Equal(0, p.Write(a, 0, Text("later")));
        Assert.Equal(0, p.Fs.Fsync(a));
        p.Crash(disk => Assert.True(Spoil(disk, "later") > 0));
        Assert.Equal("first", Encoding.UTF8.GetString(p.Read(a)));
        p.Judge(zdb: false);
    }

    [Fact]
    public void Sync_disabled_writes_no_log_and_sync_always_needs_no_fsync()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        p.Fs.SyncMode = SyncMode.Disabled;
        ZilogStats before = p.Fs.LogStats;
        Assert.Equal(0, p.Write(a, 0, Text("x")));
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.Equal(before.Commits, p.Fs.LogStats.Commits);
        p.Fs.SyncMode = SyncMode.Always;
        Assert.Equal(0, p.Write(a, 0, Text("y")));
        Assert.Equal(before.Commits + 1, p.Fs.LogStats.Commits);
        p.Make(p.RootDir, "b");
        p.Crash();
        Assert.Equal(["a", "b"], p.List(p.RootDir));
        Assert.Equal("y", Encoding.UTF8.GetString(p.Read(a)));
    }

    [Fact]
    public void A_read_only_mount_leaves_the_log_alone()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        Assert.Equal(0, p.Write(a, 0, Text("logged")));
        Assert.Equal(0, p.Fs.Fsync(a));
        p.Crash(readOnly: true);
        Assert.Empty(p.Read(a));
        p.Remount();
        Assert.Equal("logged", Encoding.UTF8.GetString(p.Read(a)));
    }

    [Fact]
    public void Large_writes_go_to_their_places_and_the_log_points_there()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        byte[] data = [.. Enumerable.Range(0, 1_000_000).Select(static i => (byte)(i * 31 / 7))];
        Assert.Equal(0, p.Write(a, 0, data));
        Assert.Equal(0, p.Fs.Fsync(a));
        ZilogStats s = p.Fs.LogStats;
        Assert.Equal((8L, 0L), (s.Indirect, s.Synced));
        Assert.True(s.BytesWritten < 65536, $"{s.BytesWritten} bytes of log");

        // One block changes again in the same txg, and is committed again; another changes and is not.
        Assert.Equal(0, p.Write(a, 300_000, Text("changed")));
        Assert.Equal(0, p.Write(a, 131_072, new byte[131_072]));
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.Equal(0, p.Write(a, 600_000, Text("never committed")));
        Text("changed").CopyTo(data, 300_000);
        new byte[131_072].CopyTo(data, 131_072);
        p.Crash();
        Assert.Equal(data, p.Read(a));
        p.Judge();
    }

    [Fact]
    public void What_was_written_ahead_is_what_the_txg_has_and_what_changed_again_leaks_nothing()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        byte[] data = [.. Enumerable.Range(0, 700_000).Select(static i => (byte)(i * 13 / 5))];
        Assert.Equal(0, p.Write(a, 0, data));
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.True(p.Fs.LogStats.Indirect > 4);
        Assert.Equal(0, p.Write(a, 140_000, Text("changed")));
        Text("changed").CopyTo(data, 140_000);
        ulong b = p.Make(p.RootDir, "b");
        Assert.Equal(0, p.Write(b, 0, data));
        Assert.Equal(0, p.Fs.Fsync(b));
        Assert.Equal(0, p.Truncate(b, 200_000));
        Assert.Equal(0, p.Unlink(p.RootDir, "b"));
        p.Judge();
        Assert.Equal(data, p.Read(a));
        p.Remount();
        Assert.Equal(data, p.Read(a));
    }

    [Fact]
    public void With_logbias_throughput_small_writes_go_to_their_places_too()
    {
        using var p = new ZplPool();
        p.Spa.SetProperty("tank", "logbias", "throughput");
        ulong a = Begin(p);
        Assert.Equal(0, p.Write(a, 0, Text("small")));
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.Equal(1, p.Fs.LogStats.Indirect);
        p.Crash();
        Assert.Equal("small", Encoding.UTF8.GetString(p.Read(a)));
        p.Judge();
    }

    [Fact]
    public void A_claimed_log_that_can_no_longer_be_read_is_refused_and_kept()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        foreach (string text in (string[])["first", "later", "last"])
        {
            Assert.Equal(0, p.Write(a, 0, Text(text)));
            Assert.Equal(0, p.Fs.Fsync(a));
        }

        MemoryVdevIo claimed = p.CrashImage();
        MemoryVdevIo? image = null;
        ZplPool.With(claimed, _ => image = claimed.Clone());
        claimed = image!;
        MemoryVdevIo spoilt = claimed.Clone();
        Assert.True(Spoil(spoilt, "later") > 0);
        ZplPool.With(spoilt, static spa =>
        {
            Objset os = spa.OpenObjset("tank");
            var e = Assert.Throws<ZfsException>(() => Zfsvfs.Mount(os, readOnly: false, AtimeMode.Off));
            Assert.Equal(Errno.EIO, e.Errno);
            Assert.Contains("ends at record", e.Message, StringComparison.Ordinal);
            spa.CloseObjset(os);
        });
        ZplPool.With(claimed, spa =>
        {
            Objset os = spa.OpenObjset("tank");
            Zfsvfs fs = Zfsvfs.Mount(os, readOnly: false, AtimeMode.Off);
            Assert.Equal(3, fs.LogStats.Replayed);
            fs.Unmount();
            spa.CloseObjset(os);
        });
    }

    [Fact]
    public void A_pool_that_was_filled_with_synchronous_writes_is_replayed()
    {
        using var p = new ZplPool(diskBytes: 96 << 20);
        ulong a = Begin(p);
        byte[] data = new byte[20_000];
        int n = 0;
        while (p.Write(a, (ulong)n * 20_000, data) == 0)
        {
            Assert.Equal(0, p.Fs.Fsync(a));
            n++;
        }

        Assert.True(n > 100);
        p.Crash();
        Assert.True(p.Stat(a).Size >= (ulong)n * 20_000);
        Assert.Equal(0, p.Unlink(p.RootDir, "a"));
        p.Judge();
    }

    [Fact]
    public void A_replaced_attribute_is_one_change()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        Assert.Equal(0, p.SetXattr(a, "user.x", Text("old")));
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.Equal(0, p.Fs.LogStats.Synced);
        Assert.Equal(0, p.SetXattr(a, "user.x", Text("new")));
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.Equal(1, p.Fs.LogStats.Synced);
        p.Crash();
        Assert.Equal(Text("new"), p.GetXattr(a, "user.x"));
    }

    [Fact]
    public void A_file_without_a_name_is_not_logged()
    {
        using var p = new ZplPool();
        ulong a = Begin(p);
        Assert.Equal(0, p.Fs.Open(a, truncate: false));
        Assert.Equal(0, p.Unlink(p.RootDir, "a"));
        Assert.Equal(0, p.Fs.Fsync(p.RootDir));
        long records = p.Fs.LogStats.Records;
        Assert.Equal(0, p.Write(a, 0, Text("nobody will see it")));
        Assert.Equal(0, p.Truncate(a, 3));
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.Equal((records, 0L), (p.Fs.LogStats.Records, p.Fs.LogStats.Synced));
        Assert.Equal(0, p.Fs.Close(a));
    }

    /// <summary>A file "a" that is on disk, and a log that has begun.</summary>
    internal static ulong Begin(ZplPool p)
    {
        ulong a = p.Make(p.RootDir, "a");
        Assert.Equal(0, p.Fs.Fsync(a));
        Assert.Equal(0, p.Spa.Sync());
        return a;
    }

    internal static List<string> Tree(ZplPool p)
    {
        var lines = new List<string>();
        Walk(p.RootDir, "");
        return lines;

        void Walk(ulong dir, string path)
        {
            foreach (string name in p.List(dir))
            {
                ulong obj = p.Find(dir, name);
                ZnodeAttr s = p.Stat(obj);
                string target = (s.Mode & 0xF000) == 0xA000 ? p.ReadLink(obj) : "";
                lines.Add($"{path}/{name} {obj} {s.Generation} {s.Mode:x} {s.Links} {s.Uid}:{s.Gid} {s.Size} {s.Rdev:x} {s.CrtimeSec}.{s.CrtimeNsec} {target}");
                if ((s.Mode & 0xF000) == 0x4000)
                {
                    Walk(obj, $"{path}/{name}");
                }
            }
        }
    }

    private static unsafe int Spoil(MemoryVdevIo disk, string text)
    {
        byte[] sector = new byte[4096];
        byte[] sought = Text(text);
        int n = 0;
        for (long at = 4 << 20; at < disk.Size; at += sector.Length)
        {
            fixed (byte* p = sector)
            {
                _ = disk.Read(at, p, sector.Length);
                int i = sector.AsSpan().IndexOf(sought);
                if (i >= 0)
                {
                    n++;
                    sector[i] ^= 1;
                    ReadOnlySpan<IoSegment> one = [new IoSegment((nint)p, sector.Length)];
                    _ = disk.Write(at, one);
                }
            }
        }

        return n;
    }
}
