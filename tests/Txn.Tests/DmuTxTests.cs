using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

public sealed class DmuTxTests
{
    private const int ENOSPC = 28;
    private const int ERESTART = 85;

    [Fact]
    public void The_host_is_asked_for_space_and_its_refusal_comes_back() => World.Engine((engine, host) =>
    {
        long asked = 0;
        bool free = false;
        host.OnCheckSpace = (bytes, netFree) =>
        {
            asked = bytes;
            free = netFree;
            return ENOSPC;
        };
        DmuTx tx = DmuTx.Create(engine);
        tx.HoldSpace(1000);
        tx.HoldSpace(-200);
        tx.MarkNetFree();
        Assert.Equal(ENOSPC, tx.Assign(TxAssign.Wait));
        Assert.Equal(800, asked);
        Assert.True(free);
        tx.Abort();
        host.OnCheckSpace = null;
    });

    [Fact]
    public void Space_on_its_way_back_is_waited_for() => World.Engine((engine, host) =>
    {
        int asked = 0;
        host.OnCheckSpace = (_, _) => ++asked < 3 ? ERESTART : 0;
        DmuTx tx = DmuTx.Create(engine);
        Assert.Equal(0, tx.Assign(TxAssign.Wait));
        Assert.Equal(3, asked);
        Assert.Equal(6ul, tx.Txg);
        Assert.Equal(2, engine.Stats.SpaceRestarts);
        tx.Commit();
    });

    [Fact]
    public void A_tx_of_the_next_txg_does_not_get_an_object_held_in_the_one_before() => World.Engine((engine, host) =>
    {
        var dnode = new FakeDnode(7);
        DmuTx tx = DmuTx.Create(engine);
        tx.Hold(dnode);
        tx.Hold(dnode);
        Assert.Equal(0, tx.Assign(TxAssign.Wait));
        Assert.Equal(1, dnode.TxHoldCount);
        engine.WaitOpen(5);

        int error = -1;
        ulong txg = 0;
        Kthread other = Kthread.Start("writer", () =>
        {
            DmuTx second = DmuTx.Create(engine);
            second.Hold(dnode);
            error = second.Assign(TxAssign.NoWait);
            Assert.Equal(0ul, second.Txg);
            second.Wait();
            Assert.Equal(0, second.Assign(TxAssign.NoWait | TxAssign.NoThrottle));
            txg = second.Txg;
            second.Commit();
        });
        World.Until(() => World.IsWaiting(other, "dnode 7"), "second tx waits for the dnode");
        Assert.Equal(ERESTART, error);
        var owners = new List<Kthread>();
        other.WaitingFor!.CollectOwners(owners);
        Assert.Equal([Kthread.Current], owners);
        tx.Commit();
        other.Join();
        Assert.Equal(5ul, txg);
        Assert.Equal(0, dnode.TxHoldCount);
        Assert.Equal(0ul, dnode.AssignedTxg);
    });

    [Fact]
    public void A_failed_assignment_leaves_nothing_held() => World.Engine((engine, host) =>
    {
        var a = new FakeDnode(1);
        var b = new FakeDnode(2);
        DmuTx first = DmuTx.Create(engine);
        first.Hold(b);
        Assert.Equal(0, first.Assign(TxAssign.Wait));
        engine.WaitOpen(5);
        DmuTx second = DmuTx.Create(engine);
        second.Hold(a);
        second.Hold(b);
        Assert.Equal(ERESTART, second.Assign(TxAssign.NoWait));
        Assert.Equal(0, a.TxHoldCount);
        Assert.Equal(0ul, a.AssignedTxg);
        Assert.Equal(1, b.TxHoldCount);
        second.Abort();
        first.Commit();
        engine.WaitSynced(5);
    });

    [Fact]
    public void Transactions_of_one_txg_share_an_object() => World.Engine((engine, host) =>
    {
        var dnode = new FakeDnode(1);
        DmuTx first = DmuTx.Create(engine);
        first.Hold(dnode);
        Assert.Equal(0, first.Assign(TxAssign.Wait));
        DmuTx second = DmuTx.Create(engine);
        second.Hold(dnode);
        Assert.Equal(0, second.Assign(TxAssign.NoWait));
        Assert.Equal(2, dnode.TxHoldCount);
        first.Commit();
        Assert.Equal(4ul, dnode.AssignedTxg);
        second.Commit();
        Assert.Equal(0ul, dnode.AssignedTxg);
    });

    [Fact]
    public void Allocation_flags_follow_policy_and_state()
    {
        World.Engine((engine, _) => CheckFlags(engine, KmFlags.PushPage), policy: KmemPolicy.Fstrans);
        World.Engine((engine, _) => CheckFlags(engine, KmFlags.Sleep), policy: KmemPolicy.None);
        World.Engine((engine, _) => CheckFlags(engine, KmFlags.Sleep), policy: KmemPolicy.TxCookie);

        static void CheckFlags(TxgEngine engine, KmFlags assigned)
        {
            DmuTx tx = DmuTx.Create(engine);
            Assert.Equal(KmFlags.Sleep, tx.AllocFlags);
            Assert.Equal(0, tx.Assign(TxAssign.Wait));
            Assert.Equal(assigned, tx.AllocFlags);
            tx.Commit();
            Assert.Equal(KmFlags.PushPage, DmuTx.CreateSyncing(engine, 4).AllocFlags);
        }
    }

    [Fact]
    public void Txcookie_marks_from_assign_to_the_end_in_any_order() => World.Engine(
        (engine, host) =>
        {
            Assert.False(Fstrans.Check());
            DmuTx a = DmuTx.Create(engine);
            DmuTx b = DmuTx.Create(engine);
            a.Assign(TxAssign.Wait);
            Assert.True(Fstrans.Check());
            b.Assign(TxAssign.Wait);
            a.Commit();
            Assert.True(Fstrans.Check());
            b.Commit();
            Assert.False(Fstrans.Check());
            DmuTx.Create(engine).Abort();
            Assert.False(Fstrans.Check());
            host.OnCheckSpace = (_, _) => ENOSPC;
            DmuTx c = DmuTx.Create(engine);
            Assert.Equal(ENOSPC, c.Assign(TxAssign.Wait));
            Assert.Equal(ENOSPC, c.Assign(TxAssign.Wait));
            c.Abort();
            Assert.False(Fstrans.Check());
            host.OnCheckSpace = null;
        },
        policy: KmemPolicy.TxCookie);

    [Fact]
    public void A_transaction_used_out_of_turn_is_refused() => World.Engine((engine, host) =>
    {
        DmuTx tx = DmuTx.Create(engine);
        Assert.Throws<InvalidOperationException>(tx.Commit);
        Assert.Equal(0, tx.Assign(TxAssign.Wait));
        Assert.Throws<InvalidOperationException>(tx.Abort);
        Assert.Throws<InvalidOperationException>(() => tx.Assign(TxAssign.Wait));
        Assert.Throws<InvalidOperationException>(() => tx.HoldSpace(1));
        DmuTx nested = DmuTx.Create(engine);
        Assert.Throws<InvalidOperationException>(() => nested.Assign(TxAssign.Wait));
        nested.Abort();
        tx.Commit();
        Assert.Throws<InvalidOperationException>(tx.Commit);
    });

    [Fact]
    public void Transactions_are_pooled() => World.Engine((engine, host) =>
    {
        DmuTx tx = DmuTx.Create(engine);
        tx.Assign(TxAssign.Wait);
        tx.Commit();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            DmuTx next = DmuTx.Create(engine);
            next.HoldSpace(1);
            next.Assign(TxAssign.Wait);
            next.Commit();
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    });
}
