using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>
/// How a run in the simulator ended. When nobody can run and somebody has waited for a second, which is longer than any wait with a
/// limit, the graph of waits is examined: nothing moves meanwhile, so a cycle in it is a fact.
/// </summary>
/// <param name="Sim">What the simulator says.</param>
/// <param name="Deadlock">The proven deadlock, if there was one.</param>
internal sealed record LabRun(SimResult Sim, DeadlockReport? Deadlock)
{
    private const long MaxSteps = 5_000_000;
    private const long StuckNs = 1_000_000_000;

    /// <summary>All work was done.</summary>
    internal bool Completed => Sim.Outcome == SimOutcome.Completed;

    /// <summary>What went wrong, other than a deadlock; null: nothing.</summary>
    internal string? Failure => Completed || Deadlock is not null ? null : Sim.ToString();

    /// <summary>Runs once.</summary>
    internal static LabRun Of(ulong seed, Action body)
    {
        DeadlockReport? report = null;
        SimResult result = SimWorld.Run(
            new SimOptions
            {
                Seed = seed,
                MaxSteps = MaxSteps,
                OnIdle = static () => WaitGraph.AnyWaitOlderThan(StuckNs) && WaitGraph.Capture().ReportFrozen(StuckNs) is not null,
                OnDeadlock = () => report = WaitGraph.Capture().ReportFrozen(),
            },
            body);
        return new LabRun(result, report);
    }

    /// <summary>Runs under one seed after the other until a run does not complete.</summary>
    /// <param name="seed">The first seed.</param>
    /// <param name="runs">Runs at most.</param>
    /// <param name="run">A run.</param>
    /// <param name="completed">Was all work done?</param>
    /// <param name="tried">Runs done.</param>
    /// <returns>The last run.</returns>
    internal static TResult Search<TResult>(ulong seed, int runs, Func<ulong, TResult> run, Func<TResult, bool> completed, out int tried)
    {
        TResult result = run(seed);
        for (tried = 1; completed(result) && tried < runs; tried++)
        {
            result = run(seed + (ulong)tried);
        }

        return result;
    }
}
