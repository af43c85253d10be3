using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;
using ZfsLite.Torture;

namespace Fs.Tests.Crash;

/// <summary>
/// Crashes after every write and every flush of seeded workloads (<see cref="CrashSchedule"/>): 20,000 states on the simulator, fewer on the
/// operating system. The long form is ./fuse-test.sh torture crash.
/// </summary>
public sealed class CrashStateTests
{
    private static readonly CrashLimits s_limits = new(Steps: 40, ExhaustiveMax: 8, RandomCount: 1, RecrashOneIn: 8);

    [Fact]
    public void EveryCrashLeavesWhatWasAcknowledgedAndACleanPool()
    {
        // The second pass, with another slab engine, is not about the disk.
        bool whole = Backends.IsSim && new KmemOptions().SlabEngine == SlabEngineKind.Slubq;
        long wanted = whole ? 20_000 : 2_000;
        var counts = new CrashCounts();
        for (ulong seed = 1; counts[CrashCount.States] < wanted; seed++)
        {
            CrashSchedule schedule = Run(seed, CrashFault.None);
            Assert.True(schedule.Failure is null, $"seed {seed}: {schedule.Failure}");
            Assert.True(schedule.Counts[CrashCount.Acknowledged] > 0, $"seed {seed} acknowledged nothing");
            counts.Add(schedule.Counts);
        }

        Assert.True(counts[CrashCount.IoErrors] > 0 && counts[CrashCount.LogsFailed] > 0, $"{counts[CrashCount.IoErrors]} I/Os and {counts[CrashCount.LogsFailed]} log devices failed");
        Assert.True(counts[CrashCount.Recrashed] > wanted / 20, $"only {counts[CrashCount.Recrashed]} recoveries were crashed");
        Assert.True(counts[CrashCount.UsedAfterwards] > wanted / 20, $"only {counts[CrashCount.UsedAfterwards]} pools were used afterwards");
    }

    [Theory]
    [InlineData(nameof(CrashFault.LyingFlush))]
    [InlineData(nameof(CrashFault.FalseAcknowledgement))]
    [InlineData(nameof(CrashFault.UnknownChange))]
    public void AFaultThatIsPlantedIsFound(string fault)
    {
        CrashSchedule schedule = Run(3, Enum.Parse<CrashFault>(fault));
        Assert.NotNull(schedule.Failure);
        Assert.Contains("crash after", schedule.Failure, StringComparison.Ordinal);
    }

    [ZfsFuseFact]
    public void ZdbFindsCleanWhatEachKindOfCrashLeavesAndWhatItsRecoveryMakesOfIt()
    {
        const CrashKinds All = CrashKinds.Lost | CrashKinds.Kept | CrashKinds.Reordered | CrashKinds.Torn | CrashKinds.IoError | CrashKinds.LogDevice | CrashKinds.Recrashed;
        var sampler = new CrashSampler(1500, static folder => ZfsFuseTools.ZdbCheck(folder, "tank"));
        int logsFailed = 0;
        for (ulong seed = 1; sampler.Kinds != All || logsFailed == 0; seed++)
        {
            Assert.True(seed < 40, $"only {sampler.Kinds}, {logsFailed} log devices failed");
            CrashSchedule schedule = Run(seed, CrashFault.None, sampler);
            Assert.True(schedule.Failure is null, $"seed {seed}: {schedule.Failure}");
            logsFailed += (int)schedule.Counts[CrashCount.LogsFailed];
            Assert.Null(sampler.Judge());
        }

        Assert.True(sampler.Judged >= 10, $"{sampler.Judged} images");
    }

    private static CrashSchedule Run(ulong seed, CrashFault fault, CrashSampler? sampler = null)
    {
        var schedule = new CrashSchedule(seed, s_limits, fault, sampler);
        InThread(schedule, schedule.Record, fault);
        if (schedule.Failure is null)
        {
            InThread(schedule, () => schedule.Judge(), fault);
        }

        return schedule;
    }

    private static void InThread(CrashSchedule schedule, Action body, CrashFault fault) => Backends.Run(
        () =>
        {
            // A pool whose recovery fails keeps its memory.
            using var memory = new KmemScope(24 << 20) { Failed = fault != CrashFault.None };
            body();
        },
        seeds: 1,
        options: schedule.Options,
        timeoutMs: 600_000);
}
