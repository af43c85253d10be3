using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>Runs the scenario on the back end of this process.</summary>
internal static class ScenarioRunner
{
    private const long MaxSteps = 5_000_000;
    private const long StuckNs = 1_000_000_000;

    /// <summary>Runs once.</summary>
    internal static ScenarioResult Run(ScenarioOptions options) => SplPlatform.IsSimulated ? RunSimulated(options) : RunReal(options);

    /// <summary>
    /// In the simulator. Whenever nobody can run and somebody has waited for a second, the graph is examined: nothing moves
    /// meanwhile, so a cycle in it is a fact.
    /// </summary>
    private static ScenarioResult RunSimulated(ScenarioOptions options)
    {
        var scenario = new RecursiveTx(options);
        KmemStats? memory = null;
        DeadlockReport? report = null;
        SimResult result = SimWorld.Run(
            new SimOptions
            {
                Seed = options.Seed,
                MaxSteps = MaxSteps,
                OnIdle = static () => WaitGraph.AnyWaitOlderThan(StuckNs) && WaitGraph.Capture().ReportFrozen(StuckNs) is not null,
                OnDeadlock = () => report = WaitGraph.Capture().ReportFrozen(),
            },
            () => memory = scenario.Run());
        bool completed = result.Outcome == SimOutcome.Completed;
        return new ScenarioResult
        {
            Options = options,
            Completed = completed,
            Deadlock = report,
            Failure = completed || report is not null ? null : result.ToString(),
            Counters = scenario.Counters,
            Memory = memory,
            Steps = result.Steps,
            TraceHash = result.TraceHash,
            TimeNs = result.EndTimeNs,
        };
    }

    /// <summary>On the operating system: a watchdog looks on. After a deadlock the threads are left where they are.</summary>
    private static ScenarioResult RunReal(ScenarioOptions options)
    {
        var scenario = new RecursiveTx(options);
        KmemStats? memory = null;
        DeadlockReport? report = null;
        Exception? failure = null;
        int done = 0;
        Kthread.UnhandledException = (thread, e) =>
        {
            failure = new InvalidOperationException($"in {thread}: {e.Message}", e);
            Katomic.Store(ref done, 1);
        };
        var dog = new Watchdog(new WatchdogOptions())
        {
            OnDeadlock = r =>
            {
                report = r;
                Katomic.Store(ref done, 1);
            },
        };
        dog.Start();
        long begin = Kclock.NowNs;
        Kthread.Start("scenario", () =>
        {
            memory = scenario.Run();
            Katomic.Store(ref done, 1);
        });
        while (Katomic.Load(ref done) == 0)
        {
            Kthread.Sleep(10_000_000);
        }

        dog.Stop();
        return new ScenarioResult
        {
            Options = options,
            Completed = memory is not null,
            Deadlock = report,
            Failure = failure?.ToString(),
            Counters = scenario.Counters,
            Memory = memory,
            TimeNs = Kclock.NowNs - begin,
        };
    }
}
