using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

public sealed class WatchdogTests
{
    private static readonly WatchdogOptions s_fast = Fast(reportsPerMinute: 3);

    private static WatchdogOptions Fast(int reportsPerMinute) => new()
    {
        IntervalNs = 20_000_000,
        LimitNs = 150_000_000,
        SettleNs = 30_000_000,
        MinCycleAgeNs = 100_000_000,
        SlowReportsPerMinute = reportsPerMinute,
    };

    [Fact]
    public void A_planted_cycle_is_reported_once_with_the_stacks_of_its_threads() => World.Run(() =>
    {
        long slow = Kthread.SlowWaitNs;
        Kthread.SlowWaitNs = 50_000_000;
        var reports = new List<DeadlockReport>();
        var dog = new Watchdog(s_fast) { OnDeadlock = reports.Add };
        dog.Start();
        var itself = new PlantedWait("itself", (Kthread?)null);
        Kthread thread = Kthread.Start("self", itself.Wait);
        itself.Owners[0] = thread;
        World.Until(() => reports.Count > 0, "a report");
        Kthread.Sleep(200_000_000);
        itself.End();
        thread.Join();
        dog.Stop();
        DeadlockReport report = Assert.Single(reports);
        Assert.Equal(thread.Id, Assert.Single(report.Cycles[0].Threads).Id);
        if (!SplPlatform.IsSimulated)
        {
            Assert.Contains("PlantedWait.Wait", report.Cycles[0].Edges[0].From.Stack, StringComparison.Ordinal);
        }

        Kthread.SlowWaitNs = slow;
    });

    [Fact]
    public void A_slow_wait_is_reported_once_as_slow_and_never_as_a_deadlock() => World.Engine((engine, host) =>
    {
        var deadlocks = new List<DeadlockReport>();
        var slow = new List<SlowWait>();
        var dog = new Watchdog(Fast(reportsPerMinute: 1000)) { OnDeadlock = deadlocks.Add, OnSlowWait = slow.Add };
        dog.Start();
        DmuTx tx = DmuTx.Create(engine);
        Assert.Equal(0, tx.Assign(TxAssign.Wait));
        Kthread syncer = Kthread.Start("syncer", () => engine.WaitSynced(0));
        World.Until(() => slow.Any(s => s.Thread.Id == syncer.Id), "a slow report");
        Kthread.Sleep(500_000_000);
        tx.Commit();
        syncer.Join();
        dog.Stop();
        Assert.Empty(deadlocks);
        SlowWait wait = Assert.Single(slow, s => s.Thread.Id == syncer.Id);
        Assert.True(wait.WaitedNs >= s_fast.LimitNs);
        Assert.Contains("not a deadlock", wait.ToText(), StringComparison.Ordinal);
        Assert.Equal(slow.Count, slow.Select(s => s.Thread.Id).Distinct().Count());
    });

    [Fact]
    public void Reports_of_slow_waits_are_limited() => World.Run(() =>
    {
        var slow = new List<SlowWait>();
        var dog = new Watchdog(s_fast) { OnSlowWait = slow.Add };
        var waits = Enumerable.Range(0, 6).Select(i => new PlantedWait($"turn {i}", Kthread.Current)).ToArray();
        Kthread[] threads = [.. waits.Select((w, i) => Kthread.Start($"slow-{i}", w.Wait))];
        Kthread.Sleep(s_fast.LimitNs * 2);
        for (int i = 0; i < 3; i++)
        {
            Assert.Null(dog.Poll());
        }

        Assert.Equal(3, slow.Count);
        foreach (PlantedWait w in waits)
        {
            w.End();
        }

        foreach (Kthread t in threads)
        {
            t.Join();
        }
    });

    [Fact]
    public void Idle_threads_are_never_reported() => World.Engine((engine, host) =>
    {
        var slow = new List<SlowWait>();
        var dog = new Watchdog(s_fast) { OnSlowWait = slow.Add };
        var queue = new Taskq("idle", 2);
        Kthread.Sleep(s_fast.LimitNs * 2);
        Assert.Null(dog.Poll());
        Assert.Empty(slow);
        queue.Destroy();
    });
}
