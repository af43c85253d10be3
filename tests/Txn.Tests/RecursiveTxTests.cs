using System.Xml.Linq;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Lab;
using ZfsLite.TestKit;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

/// <summary>The deadlock of the seeds, over the real arena and the real txg engine.</summary>
public sealed class RecursiveTxTests
{
    [SimFact]
    public void Policy_none_runs_into_the_recursive_transaction_from_a_seed()
    {
        ScenarioResult result = FirstDeadlock();
        Assert.False(result.Completed);
        DeadlockReport report = Assert.IsType<DeadlockReport>(result.Deadlock);
        WaitEdge edge = Assert.Single(report.Cycles[0].Edges);
        Assert.Equal(edge.From.Id, edge.To.Id);
        Assert.StartsWith("writer", edge.From.Name, StringComparison.Ordinal);
        Assert.NotEmpty(edge.From.HeldTxgs);
        Assert.True(edge.From.Marks.HasFlag(ThreadFlags.InReclaim));
        foreach (string frame in (string[])["WriteThrottle", "DmuTx.Assign", "MiniZnodeCache.Inactivate", "ShrinkerRegistry", "PageAllocator", "RecursiveTx.Write"])
        {
            Assert.Contains(frame, edge.From.Stack, StringComparison.Ordinal);
        }

        // The data of a record, or what it is described with: the schedule decides which of them is one too many.
        Assert.Matches(@"KmemAllocator\.Large|KmemCache\.AllocSlow", edge.From.Stack);
        Assert.Contains("txg_quiesce", report.Victims.Select(static v => v.Name));
        Assert.Single(XDocument.Parse(report.ToSvg()).Descendants(), static e => (string?)e.Attribute("class") == "cedge");
    }

    [SimFact]
    public void A_seed_replays_step_by_step()
    {
        ScenarioResult first = FirstDeadlock();
        ScenarioOptions options = first.Options;
        ScenarioResult second = ScenarioRunner.Run(options);
        Assert.Equal(first.TraceHash, second.TraceHash);
        Assert.Equal(first.Steps, second.Steps);
        Assert.Equal(first.Deadlock!.Summary, second.Deadlock!.Summary);
        Assert.NotEqual(first.TraceHash, ScenarioRunner.Run(options with { Seed = options.Seed + 1 }).TraceHash);
    }

    [SimFact]
    public void Most_schedules_of_policy_none_nest_and_some_deadlock()
    {
        int deadlocks = 0;
        long nested = 0;
        for (ulong seed = 1; seed <= 60; seed++)
        {
            ScenarioResult result = ScenarioRunner.Run(new ScenarioOptions { Policy = KmemPolicy.None, Seed = seed });
            Assert.Null(result.Failure);
            deadlocks += result.Deadlock is null ? 0 : 1;
            nested += result.Counters.Nested;
        }

        Assert.InRange(deadlocks, 1, 59);
        Assert.True(nested > 60);
    }

    [SimFact]
    public void Policy_fstrans_never_deadlocks_and_its_counters_show_why() => Sweep(500);

    [SimFact]
    [Trait("Category", "stress")]
    public void Policy_fstrans_never_deadlocks_in_10000_schedules() => Sweep(10_000);

    [SimFact]
    public void Policy_txcookie_never_opens_a_transaction_inside_another()
    {
        for (ulong seed = 1; seed <= 40; seed++)
        {
            ScenarioResult result = ScenarioRunner.Run(new ScenarioOptions { Policy = KmemPolicy.TxCookie, Seed = seed });
            Assert.True(result.Completed, result.Failure ?? result.Deadlock?.ToText());
            Assert.Equal(0, result.Counters.Nested);
            Assert.True(result.Counters.EvictedInReclaim > 0);
        }
    }

    [SimFact]
    public void The_lock_order_checker_sees_the_recursion_even_in_a_run_that_completes()
    {
        LockOrder.Reset();
        ScenarioResult lucky = Enumerable.Range(1, 100)
            .Select(static seed => ScenarioRunner.Run(new ScenarioOptions { Policy = KmemPolicy.None, Seed = (ulong)seed }))
            .First(static r => r.Completed);
        Assert.True(lucky.Completed);
        Assert.Contains(LockOrder.Violations, static v => v.Cycle.Contains("open tx") && v.Cycle.Contains("fs_reclaim"));
        LockOrder.Reset();
        Assert.True(ScenarioRunner.Run(new ScenarioOptions { Policy = KmemPolicy.Fstrans, Seed = 1 }).Completed);
        Assert.Empty(LockOrder.Violations);
    }

    [Fact]
    public void Policy_fstrans_completes_the_same_work_here()
    {
        ScenarioResult result = ScenarioRunner.Run(new ScenarioOptions { Policy = KmemPolicy.Fstrans, DiskNs = 200_000 });
        AssertFstrans(result);
    }

    private static ScenarioResult FirstDeadlock() => Enumerable.Range(1, 100)
        .Select(static seed => ScenarioRunner.Run(new ScenarioOptions { Policy = KmemPolicy.None, Seed = (ulong)seed }))
        .First(static r => r.Deadlock is not null);

    private static void Sweep(int schedules)
    {
        for (ulong seed = 1; seed <= (ulong)schedules; seed++)
        {
            AssertFstrans(ScenarioRunner.Run(new ScenarioOptions { Policy = KmemPolicy.Fstrans, Seed = seed }));
        }
    }

    private static void AssertFstrans(ScenarioResult result)
    {
        ScenarioOptions options = result.Options;
        Assert.True(result.Completed, $"seed {options.Seed}: {result.Failure ?? result.Deadlock?.ToText()}");
        Assert.Equal(options.Writers * options.WritesEach, result.Counters.Writes);
        Assert.Equal(0, result.Counters.EvictedInReclaim);
        Assert.True(result.Counters.HandedToQueue > 0);
        Assert.True(result.Memory!.TurnedAway > 0);
        Assert.True(result.Memory.ReserveEvents > 0);
    }
}
