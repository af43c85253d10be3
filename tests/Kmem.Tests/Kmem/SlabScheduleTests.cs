using System.Diagnostics;
using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

/// <summary>
/// Seeded random schedules over the slab engines (<see cref="SlabModel"/>), and whether the model would see what it is there to see.
/// <c>./fuse-test.sh torture kmem</c> is the long form.
/// </summary>
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

    [SimTheory]
    [InlineData(SlabFault.HandOutTwice, SlabEngineKind.Slubq, "is handed out twice")]
    [InlineData(SlabFault.HandOutTwice, SlabEngineKind.Spl, "is handed out twice")]
    [InlineData(SlabFault.Overlap, SlabEngineKind.Slubq, "overlaps")]
    [InlineData(SlabFault.Overlap, SlabEngineKind.Spl, "overlaps")]
    [InlineData(SlabFault.Overwrite, SlabEngineKind.Slubq, "was overwritten at")]
    [InlineData(SlabFault.Overwrite, SlabEngineKind.Spl, "was overwritten at")]
    [InlineData(SlabFault.LoseObject, SlabEngineKind.Slubq, "the model (")]
    [InlineData(SlabFault.LoseObject, SlabEngineKind.Spl, "the model (")]
    [InlineData(SlabFault.Miscount, SlabEngineKind.Slubq, "the model (")]
    [InlineData(SlabFault.Miscount, SlabEngineKind.Spl, "the model (")]
    [InlineData(SlabFault.LendTagged, SlabEngineKind.Slubq, "an ordinary thread got an object of a tagged slab")]
    [InlineData(SlabFault.BreachLadder, SlabEngineKind.Slubq, "right Ordinary) leaves")]
    [InlineData(SlabFault.BreachLadder, SlabEngineKind.Spl, "right Ordinary) leaves")]
    [InlineData(SlabFault.NoSleepWaits, SlabEngineKind.Slubq, "KM_NOSLEEP waits in")]
    [InlineData(SlabFault.NoSleepWaits, SlabEngineKind.Spl, "KM_NOSLEEP waits in")]
    [InlineData(SlabFault.NullForSleeper, SlabEngineKind.Slubq, "a sleeping allocation returned null")]
    [InlineData(SlabFault.NullForSleeper, SlabEngineKind.Spl, "a sleeping allocation returned null")]
    [InlineData(SlabFault.MarkLeft, SlabEngineKind.Slubq, "an allocation came in with the marks")]
    [InlineData(SlabFault.MarkLeft, SlabEngineKind.Spl, "an allocation came in with the marks")]
    [InlineData(SlabFault.DestructorSkipped, SlabEngineKind.Slubq, "destructed")]
    [InlineData(SlabFault.DestructorSkipped, SlabEngineKind.Spl, "destructed")]
    public void The_model_finds_each_planted_fault_and_the_seed_replays_it_exactly(SlabFault fault, SlabEngineKind engine, string text)
    {
        const int seeds = 300;
        var counts = new SlabCounts();
        for (ulong seed = 1; seed <= seeds; seed++)
        {
            string? failure = SlabSchedule.Run(engine, seed, counts, fault);
            if (failure is not null && failure.Contains(text, StringComparison.Ordinal))
            {
                Assert.Contains(", trace ", failure, StringComparison.Ordinal);
                string? again = SlabSchedule.Run(engine, seed, counts, fault);
                Assert.Equal(WithoutFrames(failure), WithoutFrames(again!));
                Assert.Null(SlabSchedule.Run(engine, seed, counts));
                return;
            }
        }

        Assert.Fail($"{fault} is not found in {seeds} schedules");
    }

    [SimTheory]
    [InlineData(SlabEngineKind.Slubq)]
    [InlineData(SlabEngineKind.Spl)]
    public void What_is_counted_is_the_same_every_time(SlabEngineKind engine)
    {
        var first = new SlabCounts();
        var second = new SlabCounts();
        for (ulong seed = 1; seed <= 40; seed++)
        {
            Assert.Null(SlabSchedule.Run(engine, seed, first));
        }

        for (ulong seed = 40; seed >= 1; seed--)
        {
            Assert.Null(SlabSchedule.Run(engine, seed, second));
        }

        Assert.Equal(first.ToNames(), second.ToNames());
        Assert.Equal(40, first[SlabCount.Schedules]);
    }

    private static void Run(SlabEngineKind engine, ulong firstSeed, int schedules)
    {
        long start = Stopwatch.GetTimestamp();
        int violations = LockOrder.Violations.Count;
        var counts = new SlabCounts();
        for (ulong seed = firstSeed; seed < firstSeed + (ulong)schedules; seed++)
        {
            string? failure = SlabSchedule.Run(engine, seed, counts);
            Assert.True(failure is null, $"seed {seed}: {failure}");
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Console.WriteLine($"{engine}: {schedules} schedules in {seconds:F1} s, {schedules / seconds:F0}/s");
        Assert.Equal(schedules, counts[SlabCount.Schedules]);

        // What happens too rarely is not tested.
        foreach ((SlabCount what, bool slubq, bool spl) in new[]
        {
            (SlabCount.Refused, true, true), (SlabCount.Exhausted, true, true), (SlabCount.BelowMin, true, true), (SlabCount.FromReserve, true, false),
            (SlabCount.GrowthDeadlocks, false, true), (SlabCount.GrowthFailures, false, true), (SlabCount.EmergencyObjects, false, true),
            (SlabCount.CachesMade, true, true), (SlabCount.CachesMerged, true, true), (SlabCount.Tunings, true, true), (SlabCount.Reaps, true, true),
            (SlabCount.GivenBack, true, true), (SlabCount.DirectReclaims, true, true), (SlabCount.KswapdWakes, true, true), (SlabCount.FreedAlien, true, false),
            (SlabCount.DestroysRefused, true, true),
        })
        {
            Assert.True(counts[what] > schedules / 20 || (engine == SlabEngineKind.Spl ? !spl : !slubq), $"{what}: {counts[what]} in {schedules} schedules");
        }

        IReadOnlyList<LockOrderViolation> all = LockOrder.Violations;
        Assert.True(all.Count <= violations, all.Count <= violations ? string.Empty : all[^1].Text);
    }

    /// <summary>A stack has the frames that the JIT has left, more of them at first than later.</summary>
    private static string WithoutFrames(string failure) =>
        string.Join('\n', failure.Split('\n').Where(static l => !l.StartsWith("   at ", StringComparison.Ordinal)));
}
