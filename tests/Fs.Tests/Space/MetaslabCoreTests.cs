using FsCheck;
using FsCheck.Fluent;
using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

public sealed class MetaslabCoreTests : IDisposable
{
    private readonly KmemScope _kmem = new();

    public void Dispose() => _kmem.Dispose();

    [Fact]
    public void Random_histories_agree_with_the_model_and_leave_maps_that_load() =>
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), Gen.Elements(64, 100, 1024, 5000).ToArbitrary(), (seed, units) =>
        {
            using var model = new MetaslabModel(units, seed);
            for (int i = 0; i < 400; i++)
            {
                model.Step();
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(150));

    [Fact]
    public void A_freed_unit_comes_back_when_two_more_txgs_are_on_disk_and_not_before()
    {
        using var chunks = new RangeMemory();
        var core = new MetaslabCore(chunks, 64, 0);
        core.Load(new MetaslabBitmap(64, KmFlags.Sleep));
        Assert.Equal(0, core.TryAllocate(64, 0, false));
        core.Commit(0, 64, 10);
        EndTxg(core, 10);
        core.Free(0, 64, 11);
        for (ulong txg = 11; txg <= 13; txg++)
        {
            Assert.Equal(-1, core.TryAllocate(1, 0, false));
            Assert.Equal(64, core.Deferred);
            EndTxg(core, txg);
        }

        Assert.Equal(0, core.Deferred);
        Assert.Equal(0, core.TryAllocate(64, 0, false));
        core.Dispose();
    }

    [Fact]
    public void Allocations_of_one_cursor_lie_one_after_the_other()
    {
        using var chunks = new RangeMemory();
        var core = new MetaslabCore(chunks, 1000, 0);
        core.Load(new MetaslabBitmap(1000, KmFlags.Sleep));
        long at = 0;
        foreach (int n in (int[])[8, 1, 256, 3, 8])
        {
            Assert.Equal(at, core.TryAllocate(n, 1, false));
            at += n;
        }

        core.Dispose();
    }

    [Fact]
    public void Freeing_what_is_not_allocated_is_corruption()
    {
        using var chunks = new RangeMemory();
        var core = new MetaslabCore(chunks, 64, 0);
        core.Load(new MetaslabBitmap(64, KmFlags.Sleep));
        Assert.Equal(0, core.TryAllocate(8, 0, false));
        core.Commit(0, 8, 5);
        Assert.Equal(Errno.ECKSUM, Assert.Throws<ZfsException>(() => core.Free(4, 8, 5)).Errno);
        Assert.Throws<ZfsException>(() => core.Free(60, 8, 5));
        Assert.Throws<ZfsException>(() => core.Free(-1, 1, 5));
        core.Free(0, 8, 5);
        Assert.Throws<ZfsException>(() => core.Free(0, 8, 5));
        core.Dispose();
    }

    [Fact]
    public void A_unit_freed_twice_in_one_txg_is_found_before_anything_is_written()
    {
        using var chunks = new RangeMemory();
        var core = new MetaslabCore(chunks, 64, 32);
        core.Free(0, 8, 5);
        core.Free(4, 8, 5);
        (_, RangeList? frees) = core.BeginEmit(5);
        var log = new EntryLog();
        Assert.Equal(Errno.ECKSUM, Assert.Throws<ZfsException>(() => frees!.Emit(true, log)).Errno);
        Assert.Empty(log.Entries);
        frees!.Clear();
    }

    [Fact]
    public void A_map_that_contradicts_itself_is_refused()
    {
        using var map = new MetaslabBitmap(1024, KmFlags.Sleep);
        Apply(map, SpaceMapPhys.Entry(true, 0, 100), SpaceMapPhys.DebugEntry(true, 1, 4), SpaceMapPhys.Entry(false, 50, 50));
        Assert.Equal(50, map.CountSet());
        foreach (ulong bad in (ulong[])
            [SpaceMapPhys.Entry(true, 49, 2), SpaceMapPhys.Entry(false, 49, 2), SpaceMapPhys.Entry(true, 1023, 2), SpaceMapPhys.Entry(true, 1UL << 46, 1)])
        {
            Assert.Equal(Errno.ECKSUM, Assert.Throws<ZfsException>(() => Apply(map, bad)).Errno);
        }

        Assert.Equal(50, map.CountSet());
        using var chunks = new RangeMemory();
        Assert.Throws<ZfsException>(() => new MetaslabCore(chunks, 1024, 51).Load(map));
    }

    private static void Apply(MetaslabBitmap map, params ulong[] entries) => SpaceMapReplay.Apply(entries, map);

    private static void EndTxg(MetaslabCore core, ulong txg)
    {
        (RangeList? a, RangeList? f) = core.BeginEmit(txg);
        core.EndEmit(a, f);
        core.SyncDone();
    }
}
