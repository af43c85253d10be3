using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>The same seed gives the same run; other seeds give others; planted faults are found and replayed.</summary>
public class SimReplayTests
{
    [SimFact]
    public void The_same_seed_replays_within_a_process()
    {
        var hashes = new HashSet<ulong>();
        foreach (SimStrategy strategy in Enum.GetValues<SimStrategy>())
        {
            for (ulong seed = 1; seed <= 20; seed++)
            {
                SimResult first = SimBodies.Busy(seed, strategy);
                SimResult second = SimBodies.Busy(seed, strategy);
                Assert.Equal(SimOutcome.Completed, first.Outcome);
                Assert.Equal(first.ToString(), second.ToString());
                hashes.Add(first.TraceHash);
            }
        }

        Assert.Equal(40, hashes.Count);
    }

    [Fact]
    public void The_same_seed_replays_in_another_process()
    {
        (int exit, string one) = SplChild.Run("replay 7", sim: true);
        (_, string two) = SplChild.Run("replay 7", sim: true);
        (_, string other) = SplChild.Run("replay 8", sim: true);
        Assert.Equal(0, exit);
        Assert.Contains("Completed, seed 7 (pct", one, StringComparison.Ordinal);
        Assert.Equal(one, two);
        Assert.NotEqual(one, other);
    }

    [SimFact]
    public void Finds_a_planted_lost_wake_up_and_replays_it()
    {
        SimResult found = FindAndReplay(SimBodies.LostWakeUp, SimOutcome.Deadlock, 60);
        Assert.Contains(found.Blocked, static b => b.WaitsFor == "condition lost");
        Assert.Contains(found.Blocked, static b => b.WaitsFor.StartsWith("end of thread waiter", StringComparison.Ordinal) && b.Owners[0].StartsWith("waiter", StringComparison.Ordinal));
    }

    [SimFact]
    public void Finds_a_planted_abba_deadlock_and_replays_it()
    {
        SimResult found = FindAndReplay(SimBodies.Abba, SimOutcome.Deadlock, 60);
        SimBlocked main = Assert.Single(found.Blocked, static b => b.Thread.StartsWith("main", StringComparison.Ordinal));
        SimBlocked other = Assert.Single(found.Blocked, static b => b.Thread.StartsWith("other", StringComparison.Ordinal));
        Assert.Equal(("mutex abba_b", other.Thread), (main.WaitsFor, Assert.Single(main.Owners)));
        Assert.Equal(("mutex abba_a", main.Thread), (other.WaitsFor, Assert.Single(other.Owners)));
        Assert.Contains(nameof(SimBodies.Abba), main.Stack, StringComparison.Ordinal);
        Assert.Contains(nameof(SimBodies.Abba), other.Stack, StringComparison.Ordinal);
        LockOrder.Reset();
    }

    [SimFact]
    public void Finds_a_planted_atomicity_violation_and_replays_it()
    {
        SimResult found = FindAndReplay(SimBodies.SplitUpdate, SimOutcome.Failed, 60);
        Assert.Equal("an update is lost: 1", found.Failure?.Message);
        Assert.StartsWith("main", found.FailedThread, StringComparison.Ordinal);
    }

    [SimFact]
    public void Each_strategy_finds_each_fault_by_itself()
    {
        foreach (Action body in new Action[] { SimBodies.LostWakeUp, SimBodies.Abba, SimBodies.SplitUpdate })
        {
            foreach (SimStrategy strategy in Enum.GetValues<SimStrategy>())
            {
                bool found = false;
                for (ulong seed = 1; seed <= 300 && !found; seed++)
                {
                    found = SimWorld.Run(new SimOptions { Seed = seed, Strategy = strategy, PctHorizon = 20 }, body).Outcome != SimOutcome.Completed;
                }

                Assert.True(found, $"{strategy}: {body.Method.Name}");
            }
        }

        LockOrder.Reset();
    }

    private static SimResult FindAndReplay(Action body, SimOutcome wanted, int seeds)
    {
        for (int i = 0; i < seeds; i++)
        {
            SimOptions options = Backends.Nth(new SimOptions(), i);
            SimResult result = SimWorld.Run(options, body);
            if (result.Outcome == wanted)
            {
                for (int k = 0; k < 5; k++)
                {
                    SimResult again = SimWorld.Run(options, body);
                    Assert.Equal((result.Outcome, result.TraceHash, result.Steps), (again.Outcome, again.TraceHash, again.Steps));
                }

                return result;
            }
        }

        Assert.Fail($"not found in {seeds} seeds");
        return null!;
    }
}
