using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>Runs the scenario on the back end of this process.</summary>
internal static class ScenarioRunner
{
    /// <summary>Runs once.</summary>
    internal static ScenarioResult Run(ScenarioOptions options) => SplPlatform.IsSimulated ? RunSimulated(options) : RunReal(options);

    /// <summary>Runs under one seed after the other until a run does not complete.</summary>
    /// <param name="options">The first run's.</param>
    /// <param name="runs">Runs at most.</param>
    /// <param name="tried">Runs done.</param>
    internal static ScenarioResult Search(ScenarioOptions options, int runs, out int tried) =>
        LabRun.Search(options.Seed, runs, seed => Run(options with { Seed = seed }), static r => r.Completed, out tried);

    private static ScenarioResult RunSimulated(ScenarioOptions options)
    {
        var scenario = new RecursiveTx(options);
        KmemStats? memory = null;
        LabRun run = LabRun.Of(options.Seed, () => memory = scenario.Run());
        return new ScenarioResult
        {
            Options = options,
            Completed = run.Completed,
            Deadlock = run.Deadlock,
            Failure = run.Failure,
            Counters = scenario.Counters,
            Memory = memory,
            Steps = run.Sim.Steps,
            TraceHash = run.Sim.TraceHash,
            TimeNs = run.Sim.EndTimeNs,
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
