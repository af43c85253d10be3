using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <summary>
/// One schedule of the slab model: a seed and an engine say everything about it, in every process and on every machine, so that
/// a failure is replayed by these two.
/// </summary>
internal static class SlabSchedule
{
    private const long MaxSteps = 2_000_000;

    /// <summary>Runs one. <see cref="LockOrder.Violations"/> may have more afterwards: they rest on other schedules too, and are
    /// the caller's to look at.</summary>
    /// <param name="engine">The engine under test.</param>
    /// <param name="seed">The seed.</param>
    /// <param name="counts">What happened is added, if the schedule holds.</param>
    /// <param name="fault">A fault to plant.</param>
    /// <returns>What went wrong, with the hash of the run's trace; null if nothing did.</returns>
    internal static string? Run(SlabEngineKind engine, ulong seed, SlabCounts counts, SlabFault fault = SlabFault.None)
    {
        var own = new SlabCounts();
        var model = new SlabModel(seed, engine, own, fault);
        SimResult result = SimWorld.Run(Options(seed) with { OnIdle = model.OnIdle }, model.Run);
        string? failure = model.Violation
            ?? (result.Outcome != SimOutcome.Completed ? result.Failure is SlabModelException e ? e.Message : result.Outcome.ToString() : null)
            ?? (result.Leftover.Count > 0 ? $"threads are left: {string.Join(", ", result.Leftover)}" : null);
        if (failure is not null)
        {
            return $"{failure}\n{result}";
        }

        own[SlabCount.Schedules] = 1;
        own[SlabCount.Steps] = result.Steps;
        counts.Add(own);
        return null;
    }

    /// <summary>How threads are switched under a seed: half of them at random, often or seldom, half by PCT over short or long runs.</summary>
    internal static SimOptions Options(ulong seed) => new()
    {
        Seed = seed,
        MaxSteps = MaxSteps,
        RecordStacks = false,
        Strategy = seed % 2 == 0 ? SimStrategy.Random : SimStrategy.Pct,
        SwitchProbability = (seed % 8) switch { 2 => 0.05, 4 => 0.5, _ => 0.25 },
        PctHorizon = (seed % 8) switch { 1 => 50, 3 => 400, 5 => 1500, _ => 5000 },
    };
}
