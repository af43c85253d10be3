using ZfsLite.Kmem;

namespace ZfsLite.Lab;

/// <summary>Runs a race in the simulator.</summary>
internal static class RaceRunner
{
    /// <summary>Runs once.</summary>
    internal static RaceResult Run(RaceOptions options)
    {
        var race = new Race(options);
        KmemCacheStats? cache = null;
        LabRun run = LabRun.Of(options.Seed, () => cache = race.Run());
        return new RaceResult
        {
            Options = options,
            Completed = run.Completed,
            Deadlock = run.Deadlock,
            Failure = run.Failure,
            Cache = cache,
            TimeNs = run.Sim.EndTimeNs,
        };
    }

    /// <summary>Runs under one seed after the other until a run does not complete.</summary>
    /// <param name="options">The first run's.</param>
    /// <param name="runs">Runs at most.</param>
    /// <param name="tried">Runs done.</param>
    internal static RaceResult Search(RaceOptions options, int runs, out int tried) =>
        LabRun.Search(options.Seed, runs, seed => Run(options with { Seed = seed }), static r => r.Completed, out tried);
}
