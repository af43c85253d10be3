using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Log devices: made with the pool, joined and taken out while it is in use, missing; both judges after each step.</summary>
[Trait("Backend", "os")]
public sealed class LogDeviceTests
{
    private const int Large = 100_000;

    [Fact]
    public void Committed_data_of_any_size_lie_on_the_log_device_and_survive_a_crash()
    {
        using var p = new LogPool(logs: 1);
        p.Judge();
        p.MakeCommitted("first", 10);
        long before = p.LogBytes(1);
        p.MakeCommitted("small", 4000);
        p.MakeCommitted("large", Large);
        Assert.True(p.LogBytes(1) > before + Large, $"{p.LogBytes(1)} bytes after {before}");
        Assert.Equal((0, 0), (p.Fs.LogStats.Indirect, p.Fs.LogStats.Synced));
        List<MemoryVdevIo> images = p.Images();
        p.Crash();
        LogPool.JudgeImages("tank", images);
        Assert.True(p.Fs.LogStats.Replayed >= 4, $"{p.Fs.LogStats.Replayed} replayed");
        p.Verify("small", 4000);
        p.Verify("large", Large);
        Assert.Equal(0, p.LogBytes(1));
        p.Judge();
    }

    [Fact]
    public void A_log_device_joins_and_leaves_while_the_pool_is_in_use()
    {
        using var p = new LogPool(logs: 0);
        p.MakeCommitted("before", 100);
        using var writer = new Writer(p);
        MemoryVdevIo log = LogPool.Disk("log");
        p.Spa.AddLogDevice(log);
        p.Disks.Add(log);
        Assert.Equal(["d0", "log"], p.Spa.Vdevs.Select(static v => v.Path));
        writer.AwaitCommits(30);
        Assert.True(p.LogBytes(1) > 0);
        int committed = writer.Committed;
        List<MemoryVdevIo> used = p.Images();
        p.Spa.RemoveLogDevice("log");
        p.Disks.Remove(log);
        writer.AwaitCommits(30);
        Assert.Equal(["d0"], p.Spa.Vdevs.Select(static v => v.Path));
        Assert.Null(VdevLabel.Scan(log).Config);
        int last = writer.Stop();
        p.Crash();
        writer.Verify(p, last);
        p.Judge();
        p.Shut();
        p.Disks.Clear();
        p.Disks.AddRange(used);
        p.Open();
        writer.Verify(p, committed);
        p.Verify("before", 100);
        p.Judge();
    }

    [Fact]
    public void A_hole_keeps_the_place_of_a_removed_vdev_until_another_takes_it()
    {
        using var p = new LogPool(logs: 2);
        p.MakeCommitted("a", 100);
        p.Spa.RemoveLogDevice("log1");
        MemoryVdevIo old = p.Disks[1];
        p.Disks.RemoveAt(1);
        Assert.Equal([0u, 2u], p.Spa.Vdevs.Select(static v => v.Id));
        p.MakeCommitted("b", Large);
        Assert.True(p.LogBytes(2) > Large);
        p.Crash();
        p.Verify("b", Large);
        p.Judge();
        using (PoolReader reader = PoolReader.Open(p.Images()))
        {
            Assert.Equal([1UL], reader.Holes);
            Assert.Equal(["file", "hole", "file"], reader.ReadMosConfig().Tops.Select(static t => t.Type));
        }

        p.Spa.AddLogDevice(old);
        p.Disks.Insert(1, old);
        Assert.Equal([0u, 1u, 2u], p.Spa.Vdevs.Select(static v => v.Id));
        p.MakeCommitted("c", 100);
        p.Crash();
        p.Verify("c", 100);
        p.Judge();
        p.Spa.RemoveLogDevice("log1");
        p.Disks.RemoveAt(1);
        p.Spa.RemoveLogDevice("log2");
        p.Disks.RemoveAt(1);
        p.Judge();
        using PoolReader last = PoolReader.Open(p.Images());
        Assert.Equal((1, 1UL), (last.Vdevs.Count, (ulong)last.ReadMosConfig().Tops.Count));
    }

    [Fact]
    public void Without_its_log_device_a_pool_is_refused_by_name_or_opened_without_what_lay_there_alone()
    {
        using var p = new LogPool(logs: 1);
        p.MakeCommitted("synced", 100);
        Assert.Equal(0, p.Spa.Sync());
        p.MakeCommitted("lost", Large);
        ulong txg = p.Spa.Uberblock.Txg;
        List<MemoryVdevIo> images = p.Images();
        p.Shut();
        ZfsException e = Assert.Throws<ZfsException>(() => Spa.Open([images[0].Clone()], new SpaOpenOptions()));
        Assert.Contains("pool 'tank' lacks its log vdev 1, log1 (guid ", e.Message, StringComparison.Ordinal);
        Assert.Contains($"with -m, what was fsynced after txg {txg} (", e.Message, StringComparison.Ordinal);
        MemoryVdevIo here = images[0];
        p.Disks.Clear();
        p.Disks.Add(here);
        p.Open(withoutLog: true);
        p.Verify("synced", 100);
        Assert.False(p.Has("lost"));
        Assert.Equal(["log1"], p.Spa.MissingLogs.Select(static v => v.Path));
        Assert.Equal(0, p.LogBytes(1));
        p.MakeCommitted("after", 5000);
        p.Shut();
        Assert.Contains("the intent log is empty, and nothing is lost", Assert.Throws<ZfsException>(() => Spa.Open([here.Clone()], new SpaOpenOptions())).Message, StringComparison.Ordinal);
        LogPool.JudgeImages("tank", [here, images[1]]);
        p.Disks.Add(images[1]);
        p.Open();
        p.Verify("after", 5000);
        Assert.False(p.Has("lost"));
        p.MakeCommitted("again", Large);
        Assert.True(p.LogBytes(1) > Large);
        p.Judge();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_log_that_goes_on_on_other_disks_behind_a_missing_one_leaks_nothing(bool headIsHere)
    {
        using var p = new LogPool(logs: 2);
        (uint head, uint next) = headIsHere ? (2u, 1u) : (1u, 2u);
        p.Spa.Allocator.UseLog(next, use: false);
        p.MakeCommitted("first", 100);
        p.MakeCommitted("second", Large);
        p.Spa.Allocator.UseLog(next, use: true);
        p.Spa.Allocator.UseLog(head, use: false);
        p.MakeCommitted("third", Large);
        p.Spa.Allocator.UseLog(next, use: false);
        p.MakeCommitted("fourth", Large);
        p.MakeCommitted("fifth", 100);
        List<MemoryVdevIo> images = p.Images();
        p.Shut();

        // Claimed, and not replayed: what the log refers to is on record in the space maps.
        Spa.Open(images, new SpaOpenOptions()).Close();
        MemoryVdevIo gone = images[1];
        images.Remove(gone);
        p.Disks.Clear();
        p.Disks.AddRange(images);
        p.Open(withoutLog: true);
        Assert.Equal(headIsHere, p.Has("second"));
        p.Shut();
        LogPool.JudgeImages("tank", [images[0], gone, images[1]]);
        p.Open(withoutLog: true);
        p.MakeCommitted("after", Large);
        p.Shut();
        LogPool.JudgeImages("tank", [images[0], gone, images[1]]);
        p.Disks.Insert(1, gone);
        p.Open();
        p.Verify("after", Large);
    }

    [Fact]
    public void A_missing_log_device_can_be_removed_for_good_and_a_data_device_can_not()
    {
        using var p = new LogPool(logs: 1);
        p.MakeCommitted("a", 100);
        Assert.Equal(Errno.EINVAL, Assert.Throws<ZfsException>(() => p.Spa.RemoveLogDevice("d0")).Errno);
        Assert.Equal(Errno.ENODEV, Assert.Throws<ZfsException>(() => p.Spa.RemoveLogDevice("nowhere")).Errno);
        List<MemoryVdevIo> images = p.Images();
        p.Shut();
        p.Disks.Clear();
        p.Disks.Add(images[0]);
        p.Open(withoutLog: true);
        p.Spa.RemoveLogDevice("log1");
        Assert.Empty(p.Spa.MissingLogs);
        p.Judge();
        p.Shut();
        Assert.Contains("log1 was removed from pool 'tank': leave it out", Assert.Throws<ZfsException>(() => Spa.Open([images[0].Clone(), images[1].Clone()], new SpaOpenOptions())).Message, StringComparison.Ordinal);
        p.Open();
    }

    [Fact]
    public void A_missing_data_device_stays_a_refusal()
    {
        using var kmem = new KmemScope(64 << 20);
        MemoryVdevIo[] disks = [LogPool.Disk("d0"), LogPool.Disk("d1"), LogPool.Disk("log")];
        PoolFormatter.Format(disks, new PoolCreateOptions { Name = "tank", GuidSeed = 1, LogDevices = 1 });
        ZfsException e = Assert.Throws<ZfsException>(() => Spa.Open([disks[0], disks[2]], new SpaOpenOptions { WithoutLog = true }));
        Assert.Contains("missing: vdev 1, d1", e.Message, StringComparison.Ordinal);
        e = Assert.Throws<ZfsException>(() => Spa.Open([disks[0]], new SpaOpenOptions { WithoutLog = true }));
        Assert.Contains("missing: vdev 1, d1 (guid", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_crash_at_any_write_of_a_join_or_a_leave_leaves_the_pool_before_or_after_it(bool join)
    {
        using var kmem = new KmemScope(64 << 20);
        MemoryVdevIo[] disks = [LogPool.Disk("d0"), LogPool.Disk("log")];
        PoolFormatter.Format(join ? [disks[0]] : disks, new PoolCreateOptions { Name = "tank", GuidSeed = 1, LogDevices = join ? 0 : 1 });
        var log = new DiskLog();
        RecordingVdevIo[] recorded = [log.Record(disks[0]), log.Record(disks[1])];
        Spa spa = Spa.Open(join ? [recorded[0]] : [.. recorded], new SpaOpenOptions());
        int from = log.Count;
        if (join)
        {
            spa.AddLogDevice(recorded[1]);
        }
        else
        {
            spa.RemoveLogDevice("log");
        }

        int to = log.Count;
        spa.Close();
        (int before, int after) = (0, 0);
        var images = new CrashImages(log);
        while (images.Advance() && images.Point <= to)
        {
            if (images.Point >= from)
            {
                foreach (bool all in (bool[])[false, true])
                {
                    _ = OpensWith(images, all, logToo: true) ? before++ : after++;
                }
            }
        }

        Assert.True(before > 0 && after > 0, $"{before} before, {after} after");
        bool OpensWith(CrashImages at, bool all, bool logToo)
        {
            var versions = new int[at.Places.Count];
            for (int i = 0; i < versions.Length; i++)
            {
                versions[i] = all ? at.Places[i].Versions.Count : 0;
            }

            MemoryVdevIo[] made = at.Make(versions);
            bool joined = IsWhole([made[0].Clone(), made[1].Clone()], out string? why);
            bool alone = IsWhole([made[0].Clone()], out string? whyAlone);
            Assert.True(joined != alone, $"point {at.Point} of {from} to {to}, {(all ? "all" : "none")} of what is not flushed: with the log device: {why}; without: {whyAlone}");
            return join ? alone : joined;
        }
    }

    private static bool IsWhole(MemoryVdevIo[] disks, out string? why)
    {
        try
        {
            using (PoolReader pool = PoolReader.Open(disks.Select(static d => d.Clone())))
            {
                if (pool.HasMissing)
                {
                    why = "missing";
                    return false;
                }

                Assert.Empty(PoolChecker.Run(pool).Errors == 0 ? [] : PoolChecker.Run(pool).Findings);
            }

            Spa.Open(disks, new SpaOpenOptions()).Close();
            why = null;
            return true;
        }
        catch (ZfsException e)
        {
            why = e.Message;
            return false;
        }
    }

    [GoldenFact("goldc")]
    public void The_log_device_of_goldc_is_used()
    {
        using var p = new LogPool("goldc", GoldenPools.LoadAll("goldc"));
        Assert.True(p.Spa.Allocator.HasLogVdevs);
        p.MakeCommitted("new", Large);
        Assert.True(p.LogBytes(1) > Large);
        p.Crash();
        p.Verify("new", Large);
        p.Judge();
    }

    [ZfsFuseFact]
    public void Zfs_fuse_imports_a_pool_after_each_change_of_its_log_devices_and_replays_from_ours()
    {
        using var p = new LogPool(logs: 2);
        p.MakeCommitted("a", 100);
        p.MakeCommitted("big", Large);
        Import(p, crashed: true);
        p.Spa.RemoveLogDevice("log1");
        p.Disks.RemoveAt(1);
        p.MakeCommitted("b", 100);
        Import(p, crashed: true);
        Import(p, crashed: false);
        MemoryVdevIo fresh = LogPool.Disk("log3");
        p.Spa.AddLogDevice(fresh);
        p.Disks.Add(fresh);
        p.MakeCommitted("c", Large);
        Import(p, crashed: true);
        p.Spa.RemoveLogDevice("log2");
        p.Disks.RemoveAt(1);
        Import(p, crashed: false);
    }

    /// <summary>Has zfs-fuse import what a crash leaves now, or the exported pool; use the log; export. Goes on with its disks if it was exported.</summary>
    private static void Import(LogPool p, bool crashed)
    {
        List<MemoryVdevIo> disks = p.Images();
        if (!crashed)
        {
            p.Shut();
            disks = p.Disks.ConvertAll(static d => d.Clone());
        }

        var after = new List<MemoryVdevIo>();
        LogPool.InFolder(disks, folder =>
        {
            using ZfsFuse z = ZfsFuse.Start();
            z.Import(folder, "tank", force: true);
            foreach (string file in Directory.GetFiles(z.MountPoint("tank")))
            {
                Assert.True(File.ReadAllBytes(file).Length is 100 or Large, file);
            }

            Assert.True(File.Exists(Path.Combine(z.MountPoint("tank"), "a")));
            using (FileStream f = File.Create(Path.Combine(z.MountPoint("tank"), $"zfs{disks.Count}")))
            {
                f.Write(new byte[100]);
                f.Flush(flushToDisk: true);
            }

            z.Export("tank");
        }, after);
        if (!crashed)
        {
            p.Open();
            p.Verify("a", 100);
        }

        LogPool.JudgeImages("tank", after);
    }

    /// <summary>A thread that makes files and commits each.</summary>
    private sealed class Writer : IDisposable
    {
        private readonly LogPool _pool;
        private readonly Kthread _thread;
        private int _committed;
        private bool _stop;

        internal Writer(LogPool pool)
        {
            _pool = pool;
            _thread = Kthread.Start("writer", Run);
        }

        internal int Committed => Katomic.Load(ref _committed);

        internal void AwaitCommits(int more)
        {
            int until = Committed + more;
            while (Committed < until)
            {
                Kthread.Sleep(1_000_000);
            }
        }

        internal int Stop()
        {
            _stop = true;
            _thread.Join();
            return _committed;
        }

        internal void Verify(LogPool p, int last)
        {
            for (int i = 0; i < last; i++)
            {
                p.Verify($"w{i}", LengthOf(i));
            }
        }

        public void Dispose() => Stop();

        private static int LengthOf(int i) => i % 5 == 0 ? Large : 1 + (i * 37);

        private void Run()
        {
            while (!_stop)
            {
                _pool.MakeCommitted($"w{_committed}", LengthOf(_committed));
                Katomic.Increment(ref _committed);
            }
        }
    }
}
