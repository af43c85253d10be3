using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

/// <summary>Allocations that fail by order.</summary>
public sealed unsafe class FailslabTests
{
    [Fact]
    public void Nothing_fails_until_it_is_asked_for() => Run(cache => Assert.Equal([], Failures(cache, 1000)));

    [Fact]
    public void The_nth_allocation_fails_and_no_other() => Run(cache =>
    {
        Set("nth", 7);
        Assert.Equal([7], Failures(cache, 100));
        Set("nth", 3);
        Assert.Equal([3], Failures(cache, 100));
        Assert.Equal("2", KmemTunables.Get("failslab", "failed"));
    });

    [Fact]
    public void Interval_and_times_are_kept() => Run(cache =>
    {
        Set("interval", 10);
        Set("times", 3);
        Set("probability", 100);
        Assert.Equal([10, 20, 30], Failures(cache, 100));
        Assert.Equal("0", KmemTunables.Get("failslab", "times"));
    });

    [SimFact]
    public void Threads_that_fail_at_once_take_no_more_than_the_times_there_are()
    {
        for (ulong seed = 1; seed <= 50; seed++)
        {
            KmemWorld.Run(
                static _ =>
                {
                    KmemCache cache = KmemCache.Create("failing", 100);
                    Set("times", 1);
                    Set("probability", 100);
                    Kthread[] threads = [.. Enumerable.Range(0, 4).Select(i => Kthread.Start($"t{i}", () => Failures(cache, 5)))];
                    Array.ForEach(threads, static t => t.Join());
                    Assert.Equal("1", KmemTunables.Get("failslab", "failed"));
                    Assert.Equal("0", KmemTunables.Get("failslab", "times"));
                },
                Options("A,failing"),
                seed: seed);
        }
    }

    [Fact]
    public void Space_passes_first() => Run(cache =>
    {
        Set("space", 250);
        Set("probability", 100);
        Assert.Equal([4, 5], Failures(cache, 5));
    });

    [Fact]
    public void Probability_is_about_kept_and_repeats_with_its_seed() => Run(cache =>
    {
        Set("probability", 30);
        Set("seed", 5);
        List<int> first = Failures(cache, 2000);
        Assert.InRange(first.Count, 500, 700);
        Set("seed", 5);
        Assert.Equal(first, Failures(cache, 2000));
        Set("seed", 6);
        Assert.NotEqual(first, Failures(cache, 2000));
    });

    [Fact]
    public void A_sleeping_allocation_reclaims_and_succeeds() => Run(cache =>
    {
        Set("probability", 100);
        cache.Free(cache.Alloc(KmFlags.Sleep));
        Assert.Equal("0", KmemTunables.Get("failslab", "stalled"));
        long runs = KmemStats.Snapshot().TortureRuns;
        Set("ignore-gfp-wait", 0);
        cache.Free(cache.Alloc(KmFlags.Sleep));
        Assert.Equal("1", KmemTunables.Get("failslab", "stalled"));
        Assert.Equal(runs + 1, KmemStats.Snapshot().TortureRuns);
    });

    [Fact]
    public void Caches_without_the_letter_and_large_allocations_do_not_take_part() => Run(_ =>
    {
        KmemCache other = KmemCache.Create("other", 100);
        Set("probability", 100);
        Assert.Equal([], Failures(other, 100));
        KmemAllocator.Free(KmemAllocator.Alloc(50_000, KmFlags.NoSleep), 50_000);
        Assert.Equal("0", KmemTunables.Get("failslab", "seen"));
    });

    [Fact]
    public void Large_allocations_take_part_under_their_name() => KmemWorld.Run(
        _ =>
        {
            Set("probability", 100);
            Assert.True(KmemAllocator.Alloc(50_000, KmFlags.NoSleep) == null);
            Assert.True(KmemAllocator.VmemAlloc(500_000, KmFlags.NoSleep) == null);
            Assert.Equal("2", KmemTunables.Get("failslab", "failed"));
        },
        Options("A,kmem_alloc-large"));

    [Theory]
    [InlineData("nothing", 1, KmemTunableException.Enoent)]
    [InlineData("seen", 1, KmemTunableException.Eacces)]
    [InlineData("probability", 101, KmemTunableException.Einval)]
    [InlineData("interval", 0, KmemTunableException.Einval)]
    [InlineData("times", -2, KmemTunableException.Einval)]
    [InlineData("ignore-gfp-wait", 2, KmemTunableException.Einval)]
    public void Wrong_attributes_and_values_are_refused(string name, int value, int errno) => Run(_ =>
        Assert.Equal(errno, Assert.Throws<KmemTunableException>(() => Set(name, value)).Errno));

    [Fact]
    public void All_attributes_are_listed() => Run(_ =>
    {
        IReadOnlyList<KmemTunable> all = KmemTunables.List("failslab");
        Assert.Equal(["failed", "ignore-gfp-wait", "interval", "nth", "probability", "seed", "seen", "space", "stalled", "times"], all.Select(t => t.Name));
        Assert.Equal(["0", "1", "1", "0", "0", "1", "0", "0", "0", "-1"], all.Select(t => t.Value));
        Assert.Equal(7, all.Count(t => t.Writable));
    });

    private static List<int> Failures(KmemCache cache, int allocations)
    {
        var failed = new List<int>();
        for (int i = 1; i <= allocations; i++)
        {
            byte* obj = cache.Alloc(KmFlags.NoSleep);
            if (obj == null)
            {
                failed.Add(i);
            }
            else
            {
                cache.Free(obj);
            }
        }

        return failed;
    }

    private static void Set(string name, int value) => KmemTunables.Set("failslab", name, value.ToString(System.Globalization.CultureInfo.InvariantCulture));

    private static void Run(Action<KmemCache> body) => KmemWorld.Run(_ => body(KmemCache.Create("failing", 100)), Options("A,failing"));

    private static KmemOptions Options(string spec) =>
        new() { ArenaBytes = 16 * KmemWorld.MiB, LockArena = false, MergeCaches = true, SlabDebug = SlabDebugSpec.Parse(spec) };
}
