using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

public sealed class WriteThrottleTests
{
    private static ulong DirtyUp(TxgEngine engine, long bytes)
    {
        DmuTx tx = DmuTx.Create(engine);
        Assert.Equal(0, tx.Assign(TxAssign.Wait | TxAssign.NoThrottle));
        engine.DirtySpace(bytes, tx.Txg);
        ulong txg = tx.Txg;
        tx.Commit();
        return txg;
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(60, 0)]
    [InlineData(70, 166_666)]
    [InlineData(80, 500_000)]
    [InlineData(90, 1_500_000)]
    [InlineData(99, 19_500_000)]
    [InlineData(100, 100_000_000)]
    [InlineData(140, 100_000_000)]
    public void The_delay_follows_the_formula(int percent, long expectedNs) => World.Engine(
        (engine, _) => Assert.Equal(expectedNs, engine.Throttle.DelayNs(1_000_000L * percent)),
        new TxgOptions { DirtyMaxBytes = 100_000_000 });

    [Fact]
    public void Below_the_threshold_nobody_is_delayed() => World.Engine((engine, host) =>
    {
        int release = 0;
        host.OnSync = _ => World.Until(() => Katomic.Load(ref release) != 0, "release");
        DirtyUp(engine, 600_000);
        DirtyUp(engine, 0);
        DmuTx tx = DmuTx.Create(engine);
        Assert.Equal(0, tx.Assign(TxAssign.NoWait));
        tx.Commit();
        Assert.Equal(0, engine.Stats.Delays);
        Katomic.Store(ref release, 1);
    });

    [Fact]
    public void Above_the_threshold_writers_are_spaced_by_the_delay() => World.Engine((engine, host) =>
    {
        int release = 0;
        host.OnSync = _ => World.Until(() => Katomic.Load(ref release) != 0, "release");
        DirtyUp(engine, 990_000);
        long begin = Kclock.NowNs;
        Kthread[] writers = [.. Enumerable.Range(0, 4).Select(i => Kthread.Start($"writer-{i}", () =>
        {
            DmuTx tx = DmuTx.Create(engine);
            Assert.Equal(85, tx.Assign(TxAssign.NoWait));
            tx.Wait();
            Assert.Equal(0, tx.Assign(TxAssign.NoWait));
            tx.Commit();
        }))];
        foreach (Kthread w in writers)
        {
            w.Join();
        }

        long each = engine.Throttle.DelayNs(990_000);
        Assert.Equal(19_500_000, each);
        Assert.Equal(4, engine.Stats.Delays);
        Assert.True(Kclock.NowNs - begin >= 4 * each, "four writers wake up one delay apart");
        Katomic.Store(ref release, 1);
    });

    [Fact]
    public void NoThrottle_is_not_held_back() => World.Engine((engine, host) =>
    {
        int release = 0;
        host.OnSync = _ => World.Until(() => Katomic.Load(ref release) != 0, "release");
        DirtyUp(engine, 1_000_000);
        DmuTx tx = DmuTx.Create(engine);
        Assert.Equal(0, tx.Assign(TxAssign.NoWait | TxAssign.NoThrottle));
        tx.Commit();
        Katomic.Store(ref release, 1);
    });

    [Fact]
    public void At_the_limit_a_writer_waits_until_something_is_written() => World.Engine((engine, host) =>
    {
        int release = 0;
        host.OnSync = txg =>
        {
            World.Until(() => Katomic.Load(ref release) != 0, "release");
            engine.UndirtySpace(txg == 4 ? 500_000 : 0, txg);
            World.Until(() => Katomic.Load(ref release) == 2, "release of the rest");
        };
        DirtyUp(engine, 1_000_000);
        ulong got = 0;
        Kthread writer = Kthread.Start("writer", () =>
        {
            DmuTx tx = DmuTx.Create(engine);
            Assert.Equal(0, tx.Assign(TxAssign.Wait));
            got = tx.Txg;
            tx.Commit();
        });
        World.Until(() => World.IsWaiting(writer, "dirty space"), "writer waits");
        Kthread.Sleep(50_000_000);
        Assert.True(World.IsWaiting(writer, "dirty space"));
        Katomic.Store(ref release, 1);
        writer.Join();
        Assert.Equal(5ul, got);
        Assert.Equal(1, engine.Stats.HardWaits);
        Katomic.Store(ref release, 2);
    });

    [Fact]
    public void Dirt_of_a_dead_txg_is_refused_and_excess_is_counted() => World.Run(() =>
    {
        var engine = new TxgEngine(new FakeHost(), new TxgOptions { DirtyMaxBytes = 1_000_000 });
        engine.Start();
        ulong txg = DirtyUp(engine, 100);
        engine.UndirtySpace(150, txg);
        Assert.Equal(0, engine.DirtyBytes);
        Assert.Equal(50, engine.Stats.ExcessUndirtyBytes);
        engine.WaitSynced(txg);
        Assert.Throws<InvalidOperationException>(() => engine.DirtySpace(1, txg));
        Assert.Throws<InvalidOperationException>(() => engine.DirtySpace(1, engine.OpenTxg + 1));
        engine.Stop();
    });

    [Fact]
    public void The_txg_that_must_sync_for_space_is_the_last_one_needed() => World.Run(() =>
    {
        var throttle = new WriteThrottle(new TxgEngine(new FakeHost(), new TxgOptions { DirtyMaxBytes = 1000 }), new TxgOptions(), 1000);
        throttle.Dirty(600, 5);
        throttle.Dirty(300, 6);
        Assert.Equal(0, throttle.LastTxgToSync(4, 7));
        throttle.Dirty(100, 7);
        Assert.Equal(5, throttle.LastTxgToSync(4, 7));
        throttle.Dirty(700, 7);
        Assert.Equal(6, throttle.LastTxgToSync(4, 7));
        throttle.Dirty(200, 7);
        Assert.Equal(7, throttle.LastTxgToSync(4, 7));
    });
}
