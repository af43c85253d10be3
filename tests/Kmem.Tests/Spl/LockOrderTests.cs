using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>The lock-order checker: what it reports, once, without any deadlock, and what it must not report.</summary>
public sealed class LockOrderTests : IDisposable
{
    public LockOrderTests() => LockOrder.Reset();

    public void Dispose() => LockOrder.Reset();

    [Fact]
    public void Opposite_orders_are_reported_once_with_both_chains()
    {
        var a = new Kmutex("order_a");
        var b = new Kmutex("order_b");
        int calls = 0;
        LockOrder.OnViolation = _ => calls++;
        try
        {
            Both(a, b);
            Assert.Empty(LockOrder.Violations);
            Both(b, a);
            Both(b, a);
            Both(new Kmutex("order_b"), new Kmutex("order_a"));
        }
        finally
        {
            LockOrder.OnViolation = null;
        }

        LockOrderViolation found = Assert.Single(LockOrder.Violations);
        Assert.Equal(1, calls);
        Assert.Equal(("order_b", "order_a"), (found.Held, found.Taken));
        Assert.Equal(["order_a", "order_b"], found.Cycle);
        Assert.Contains("order_b -> order_a by", found.Text, StringComparison.Ordinal);
        Assert.Contains("order_a -> order_b by", found.Text, StringComparison.Ordinal);
        Assert.Equal(3, found.Text.Split(nameof(Both)).Length);
    }

    [Fact]
    public void A_cycle_over_three_classes_and_two_kinds_of_lock_is_found()
    {
        var a = new Kmutex("order_a");
        var b = new Krwlock("order_b");
        var c = new Kmutex("order_c");
        a.Enter();
        b.EnterRead();
        b.Exit();
        a.Exit();
        b.EnterWrite();
        c.Enter();
        c.Exit();
        b.Exit();
        Assert.Empty(LockOrder.Violations);
        c.Enter();
        a.Enter();
        a.Exit();
        c.Exit();
        Assert.Equal(["order_a", "order_b", "order_c"], Assert.Single(LockOrder.Violations).Cycle);
    }

    [Fact]
    public void A_lock_under_one_of_its_own_class_needs_a_nesting_level()
    {
        var parent = new Kmutex("order_dir");
        var child = new Kmutex("order_dir");
        parent.Enter();
        child.EnterNested(1);
        child.Exit();
        parent.Exit();
        Assert.Empty(LockOrder.Violations);
        Both(parent, child);
        Assert.Equal(["order_dir"], Assert.Single(LockOrder.Violations).Cycle);
        LockOrder.Reset();
        var upper = new Krwlock("order_rw_dir");
        var lower = new Krwlock("order_rw_dir");
        upper.EnterRead();
        lower.EnterWriteNested(1);
        lower.Exit();
        lower.EnterReadNested(1);
        lower.Exit();
        Assert.Empty(LockOrder.Violations);
        lower.EnterRead();
        lower.Exit();
        upper.Exit();
        Assert.Single(LockOrder.Violations);
    }

    [Fact]
    public void A_try_adds_no_edge_to_itself_but_others_under_it_count()
    {
        var a = new Kmutex("order_a");
        var b = new Kmutex("order_b");
        var c = new Kmutex("order_c");
        Both(a, b);
        b.Enter();
        Assert.True(a.TryEnter());
        Assert.Empty(LockOrder.Violations);
        c.Enter();
        c.Exit();
        a.Exit();
        b.Exit();
        Both(c, a);
        Assert.Single(LockOrder.Violations);
        Both(c, b);
        Assert.Equal(2, LockOrder.Violations.Count);
    }

    [Fact]
    public void Taking_a_mutex_again_after_a_wait_counts()
    {
        var a = new Kmutex("order_a");
        var b = new Kmutex("order_b");
        var cv = new Kcondvar("order");
        a.Enter();
        b.Enter();
        cv.WaitUntil(a, Kclock.NowNs + 1000);
        b.Exit();
        a.Exit();
        Assert.Equal(("order_b", "order_a"), (LockOrder.Violations[0].Held, LockOrder.Violations[0].Taken));
    }

    [Fact]
    public void Reclaim_that_takes_a_lock_and_an_allocation_under_it_meet_without_any_pressure()
    {
        LockClass reclaim = LockOrder.Class("fs_reclaim");
        LockClass tx = LockOrder.Class("open tx");
        var znode = new Kmutex("order_znode");

        // An allocation under a lock; reclaim takes that lock.
        znode.Enter();
        LockOrder.TouchPseudo(reclaim);
        znode.Exit();
        Assert.Empty(LockOrder.Violations);
        LockOrder.AcquirePseudo(reclaim);
        znode.Enter();
        znode.Exit();
        Assert.True(LockOrder.ReleasePseudo(reclaim));
        Assert.Equal(("fs_reclaim", "order_znode"), (LockOrder.Violations[0].Held, LockOrder.Violations[0].Taken));

        // An allocation in an open transaction; reclaim opens one: the recursion of the seeds.
        LockOrder.AcquirePseudo(tx);
        LockOrder.TouchPseudo(reclaim);
        Assert.True(LockOrder.ReleasePseudo(tx));
        Assert.Single(LockOrder.Violations);
        LockOrder.AcquirePseudo(reclaim);
        LockOrder.TouchPseudo(tx);
        LockOrder.ReleasePseudo(reclaim);
        Assert.Equal(("fs_reclaim", "open tx"), (LockOrder.Violations[1].Held, LockOrder.Violations[1].Taken));
        Assert.False(LockOrder.ReleasePseudo(tx));
    }

    [Fact]
    public void The_order_counts_over_threads_and_time() => Backends.Run(() =>
    {
        LockOrder.Reset();
        var a = new Kmutex("order_a");
        var b = new Kmutex("order_b");
        Kthread.Start("one", () => Both(a, b)).Join();
        Kthread.Start("two", () => Both(b, a)).Join();
        LockOrderViolation found = Assert.Single(LockOrder.Violations);
        Assert.Contains("by one#", found.Text, StringComparison.Ordinal);
        Assert.Contains("by two#", found.Text, StringComparison.Ordinal);
        LockOrder.Reset();
    });

    private static void Both(Kmutex outer, Kmutex inner)
    {
        outer.Enter();
        inner.Enter();
        inner.Exit();
        outer.Exit();
    }
}
