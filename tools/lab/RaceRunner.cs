using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>
/// Runs a race in the simulator. When nobody can run and somebody has waited for a second, which is longer than any wait with a
/// limit, the graph of waits is examined: a cycle in it is a fact.
/// </summary>
internal static class RaceRunner
{
    private const long MaxSteps = 5_000_000;
    private const long StuckNs = 1_000_000_000;

    /// <summary>Runs once.</summary>
    internal static RaceResult Run(RaceOptions options)
    {
        var race = new Race(options);
        KmemCacheStats? cache = null;
        DeadlockReport? report = null;
        SimResult result = SimWorld.Run(
            new SimOptions
            {
                Seed = options.Seed,
                MaxSteps = MaxSteps,
                OnIdle = static () => WaitGraph.AnyWaitOlderThan(StuckNs) && WaitGraph.Capture().ReportFrozen(StuckNs) is not null,
                OnDeadlock = () => report = WaitGraph.Capture().ReportFrozen(),
            },
            () => cache = race.Run());
        bool completed = result.Outcome == SimOutcome.Completed;
        return new RaceResult
        {
            Options = options,
            Completed = completed,
            Deadlock = report,
            Failure = completed || report is not null ? null : result.ToString(),
            Cache = cache,
            TimeNs = result.EndTimeNs,
        };
    }

    /// <summary>Runs under one seed after the other until a run does not complete.</summary>
    /// <param name="options">The first run's.</param>
    /// <param name="runs">Runs at most.</param>
    /// <param name="tried">Runs done.</param>
    internal static RaceResult Search(RaceOptions options, int runs, out int tried)
    {
        RaceResult result = Run(options);
        for (tried = 1; result.Completed && tried < runs; tried++)
        {
            result = Run(options with { Seed = options.Seed + (ulong)tried });
        }

        return result;
    }
}
