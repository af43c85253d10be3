using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

public sealed class TxgEngineTests
{
    private static void Touch(TxgEngine engine, long dirty = 0, FakeDnode? held = null)
    {
        DmuTx tx = DmuTx.Create(engine);
        if (held is not null)
        {
            tx.Hold(held);
        }

        Assert.Equal(0, tx.Assign(TxAssign.Wait));
        if (dirty > 0)
        {
            engine.DirtySpace(dirty, tx.Txg);
        }

        tx.Commit();
    }

    [Fact]
    public void An_idle_engine_never_asks_the_host() => World.Engine(
        (engine, host) =>
        {
            Kthread.Sleep(100_000_000);
            Assert.Empty(host.Synced);
            Assert.Equal(4ul, engine.OpenTxg);
        },
        new TxgOptions { DirtyMaxBytes = 1_000_000, TimeoutNs = 10_000_000 });

    [Fact]
    public void A_committed_transaction_is_written_when_the_time_is_up() => World.Engine(
        (engine, host) =>
        {
            Touch(engine);
            World.Until(() => engine.SyncedTxg >= 4, "txg 4 synced by time-out");
            Kthread.Sleep(100_000_000);
            Assert.Equal([4ul], host.Synced);
        },
        new TxgOptions { DirtyMaxBytes = 1_000_000, TimeoutNs = 20_000_000 });

    [Fact]
    public void The_time_out_is_not_early() => World.Engine(
        (engine, host) =>
        {
            Touch(engine);
            Kthread.Sleep(150_000_000);
            Assert.Empty(host.Synced);
            engine.Kick();
            World.Until(() => engine.SyncedTxg >= 4, "txg 4 synced by kick");
        });

    [Fact]
    public void Dirty_data_beyond_the_share_pushes_the_txg_out() => World.Engine(
        (engine, host) =>
        {
            Touch(engine, 190_000);
            Kthread.Sleep(50_000_000);
            Assert.Empty(host.Synced);
            Touch(engine, 20_000);
            World.Until(() => engine.SyncedTxg >= 4, "txg 4 synced by dirty data");
            Assert.Equal(0, engine.DirtyBytes);
        });

    [Fact]
    public void WaitSynced_returns_after_the_txg_is_written_and_not_before() => World.Engine(
        (engine, host) =>
        {
            host.OnSync = _ => Kthread.Sleep(20_000_000);
            for (int i = 0; i < 5; i++)
            {
                Touch(engine);
                ulong open = engine.OpenTxg;
                engine.WaitSynced(0);
                Assert.Contains(open, host.Synced);
                Assert.True(engine.SyncedTxg >= open);
            }
        });

    [Fact]
    public void WaitOpen_opens_the_next_txg_without_waiting_for_its_sync() => World.Engine(
        (engine, host) =>
        {
            int release = 0;
            host.OnSync = _ => World.Until(() => Katomic.Load(ref release) != 0, "release");
            Touch(engine);
            engine.WaitOpen(0);
            Assert.Equal(5ul, engine.OpenTxg);
            Assert.Equal(3ul, engine.SyncedTxg);
            Katomic.Store(ref release, 1);
        });

    [Fact]
    public void A_held_txg_closes_but_is_not_written() => World.Engine(
        (engine, host) =>
        {
            DmuTx tx = DmuTx.Create(engine);
            Assert.Equal(0, tx.Assign(TxAssign.Wait));
            Assert.Equal(4ul, tx.Txg);
            engine.Kick();
            Kthread waiter = Kthread.Start("waiter", () => engine.WaitSynced(4));
            World.Until(() => engine.OpenTxg == 5, "txg 5 opens");
            Kthread.Sleep(50_000_000);
            Assert.Empty(host.Synced);
            tx.Commit();
            waiter.Join();
            Assert.Equal([4ul], host.Synced);
        });

    [Fact]
    public void Stop_writes_what_is_dirty()
    {
        World.Run(() =>
        {
            var host = new FakeHost();
            var engine = new TxgEngine(host, new TxgOptions { DirtyMaxBytes = 1_000_000, FirstTxg = 100 });
            engine.Start();
            Touch(engine, 1000);
            engine.Stop();
            Assert.Equal([100ul], host.Synced);
            Assert.Equal(0, engine.DirtyBytes);
        });
    }

    /// <summary>What nobody holds looked as if txg 0 held it: no transaction that holds anything could be assigned to txg 1.</summary>
    [Fact]
    public void The_first_txg_may_be_1()
    {
        World.Run(() =>
        {
            var host = new FakeHost();
            var engine = new TxgEngine(host, new TxgOptions { DirtyMaxBytes = 1_000_000, FirstTxg = 1 });
            engine.Start();
            Touch(engine, 1000, new FakeDnode(1));
            engine.Stop();
            Assert.Equal([1ul], host.Synced);
        });
    }

    [Fact]
    public void The_history_tells_times_dirty_bytes_and_states() => World.Engine(
        (engine, host) =>
        {
            host.OnSync = _ => Kthread.Sleep(20_000_000);
            Touch(engine, 12345);
            Kthread.Sleep(10_000_000);
            engine.WaitSynced(0);
            IReadOnlyList<TxgRecord> history = engine.History();
            Assert.Equal([4ul, 5ul], history.Select(r => r.Txg));
            Assert.Equal(TxgState.Committed, history[0].State);
            Assert.Equal(12345, history[0].DirtyBytes);
            Assert.True(history[0].OpenNs >= 10_000_000);
            Assert.True(history[0].SyncNs >= 20_000_000);
            Assert.Equal(TxgState.Open, history[1].State);
        });

    [Fact]
    public void The_sync_thread_may_not_wait_for_a_txg() => World.Engine(
        (engine, host) =>
        {
            Exception? seen = null;
            host.OnSync = _ => seen ??= Record.Exception(() => engine.WaitSynced(0));
            Touch(engine);
            engine.WaitSynced(0);
            Assert.Contains("sync path", Assert.IsType<InvalidOperationException>(seen).Message, StringComparison.Ordinal);
        });
}
