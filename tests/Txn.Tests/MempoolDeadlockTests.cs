using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

/// <summary>The deadlock that Kleen saw in Mahoney's pools: elements of several pools, or several of one, taken one after the other.</summary>
public sealed unsafe class MempoolDeadlockTests
{
    private const int Schedules = 200;

    private delegate void Work(Mempool a, Mempool b, int thread);

    [SimFact]
    public void Two_pools_one_after_the_other_deadlock_within_few_schedules() => ProvenWithin(10, OneAfterTheOther, 1);

    [SimFact]
    public void Two_elements_of_one_pool_one_after_the_other_deadlock_within_few_schedules() => ProvenWithin(10, TwiceOfOne, 2);

    [SimFact]
    public void Both_at_once_never_deadlock() => Never(static (a, b, thread) =>
    {
        Span<nint> got = stackalloc nint[2];
        (Mempool first, Mempool second) = thread == 0 ? (a, b) : (b, a);
        _ = Mempool.TakeAll([new(first, 1), new(second, 1)], got, KmFlags.Sleep);
        Kthread.Yield();
        first.Free((byte*)got[0]);
        second.Free((byte*)got[1]);
    }, 1);

    [SimFact]
    public void Two_of_one_pool_at_once_never_deadlock() => Never(static (a, b, thread) =>
    {
        Span<nint> got = stackalloc nint[2];
        _ = Mempool.TakeAll([new(b, 2)], got, KmFlags.Sleep);
        Kthread.Yield();
        b.Free((byte*)got[0]);
        b.Free((byte*)got[1]);
    }, 2);

    [SimFact]
    public void A_third_holder_who_can_go_on_is_no_deadlock()
    {
        // Both threads wait, each for a pool of which the other has an element; but a sleeper has one too, and will give it back.
        for (int i = 0; i < 50; i++)
        {
            SimResult r = Simulate(i, OneAfterTheOther, 2, sleeper: true, out DeadlockReport? report);
            Assert.True(r.Outcome == SimOutcome.Completed, r.ToString());
            Assert.Null(report);
        }
    }

    private static void OneAfterTheOther(Mempool a, Mempool b, int thread)
    {
        (Mempool first, Mempool second) = thread == 0 ? (a, b) : (b, a);
        byte* one = first.Alloc(KmFlags.Sleep);
        byte* two = IncrementalMempool.AllocWhileHolding(second, KmFlags.Sleep);
        Kthread.Yield();
        second.Free(two);
        first.Free(one);
    }

    private static void TwiceOfOne(Mempool a, Mempool b, int thread)
    {
        byte* one = b.Alloc(KmFlags.Sleep);
        byte* two = IncrementalMempool.AllocWhileHolding(b, KmFlags.Sleep);
        Kthread.Yield();
        b.Free(two);
        b.Free(one);
    }

    private static void ProvenWithin(int schedules, Work work, int elements)
    {
        for (int i = 0; i < schedules; i++)
        {
            SimResult r = Simulate(i, work, elements, sleeper: false, out DeadlockReport? report);
            if (report is null)
            {
                Assert.True(r.Outcome == SimOutcome.Completed, r.ToString());
                continue;
            }

            Assert.Equal(SimOutcome.Deadlock, r.Outcome);
            WaitCycle cycle = Assert.Single(report.Cycles);
            Assert.All(cycle.Edges, static e => Assert.Contains("memory pool", e.What, StringComparison.Ordinal));
            Assert.Equal(["t0", "t1"], report.Cycles.SelectMany(static c => c.Threads).Concat(report.Victims).Select(static t => t.Name)
                .Where(static n => n[0] == 't' && n.Length == 2).Order());
            return;
        }

        Assert.Fail($"no deadlock in {schedules} schedules");
    }

    private static void Never(Work work, int elements)
    {
        for (int i = 0; i < Schedules; i++)
        {
            SimResult r = Simulate(i, work, elements, sleeper: false, out _);
            Assert.True(r.Outcome == SimOutcome.Completed && r.Leftover.Count == 0, r.ToString());
        }
    }

    private static SimResult Simulate(int i, Work work, int elements, bool sleeper, out DeadlockReport? report)
    {
        DeadlockReport? found = null;
        SimOptions options = Backends.Nth(new SimOptions { MaxSteps = 1_000_000 }, i) with
        {
            OnIdle = () => (found ??= WaitGraph.Capture().ReportFrozen()) is not null,
        };
        SimResult result = SimWorld.Run(options, () =>
        {
            KmemSystem.Init(new KmemOptions { ArenaBytes = 16 << 20, LockArena = false, FaultPoints = true });
            Mempool a = Mempool.OfSize("a", 4096, elements);
            Mempool b = Mempool.OfSize("b", 4096, elements);
            using (new AllocationFault(static _ => true))
            {
                Kthread? third = sleeper ? StartSleeper(a, b) : null;
                Backends.Parallel(2, n =>
                {
                    for (int round = 0; round < 3; round++)
                    {
                        work(a, b, n);
                    }
                });
                third?.Join();
            }

            a.Destroy();
            b.Destroy();
            KmemSystem.Shutdown();
        });
        report = found;
        return result;
    }

    private static Kthread StartSleeper(Mempool a, Mempool b)
    {
        var got = new nint[2];
        int there = 0;
        Kthread thread = Kthread.Start("sleeper", () =>
        {
            _ = Mempool.TakeAll([new(a, 1), new(b, 1)], got, KmFlags.Sleep);
            Katomic.Store(ref there, 1);
            Kthread.Sleep(3 * Mempool.WaitMaxNs);
            a.Free((byte*)got[0]);
            b.Free((byte*)got[1]);
        });
        World.Until(() => Katomic.Load(ref there) != 0, "the sleeper has its elements");
        return thread;
    }
}
