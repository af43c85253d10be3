using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

/// <summary>Seeded random schedules over the slab engines: no object twice, none lost, counters exact, reserve for the entitled alone.</summary>
[Trait("Backend", "sim")]
public sealed class SlabScheduleTests
{
    private const int Schedules = 10_000;
    private const int StressSchedules = 500_000;

    [SimTheory]
    [InlineData(SlabEngineKind.Slubq)]
    [InlineData(SlabEngineKind.Spl)]
    public void Random_schedules_keep_every_invariant(SlabEngineKind engine) => Run(engine, 1, Schedules);

    [SimTheory]
    [InlineData(SlabEngineKind.Slubq)]
    [InlineData(SlabEngineKind.Spl)]
    [Trait("Category", "stress")]
    public void Random_schedules_keep_every_invariant_for_long(SlabEngineKind engine) => Run(engine, 1_000_000, StressSchedules);

    private static void Run(SlabEngineKind engine, ulong firstSeed, int schedules)
    {
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        int tagged = 0;
        int waited = 0;
        var first = new SimOptions { Seed = firstSeed, PctHorizon = 400, RecordStacks = false };
        for (int i = 0; i < schedules; i++)
        {
            SimOptions options = Backends.Nth(first, i);
            var model = new SlabModel(options.Seed, engine);
            SimResult result = SimWorld.Run(options, model.Run);
            Assert.True(result.Outcome == SimOutcome.Completed && result.Leftover.Count == 0, $"seed {options.Seed}, {options.Strategy}: {result}");
            tagged += model.FromReserve;
            waited += model.Refused;
        }

        double seconds = System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds;
        Console.WriteLine($"{engine}: {schedules} schedules in {seconds:F1} s, {schedules / seconds:F0}/s; {tagged} objects of tagged slabs, {waited} refusals");
        Assert.True(engine != SlabEngineKind.Slubq || tagged > schedules / 20, "the reserve was lent too rarely for the test to mean anything");
        Assert.True(waited > schedules / 20, "memory was short too rarely for the test to mean anything");
        IReadOnlyList<LockOrderViolation> violations = LockOrder.Violations;
        Assert.True(violations.Count == 0, violations.Count == 0 ? string.Empty : violations[^1].Text);
    }
}
