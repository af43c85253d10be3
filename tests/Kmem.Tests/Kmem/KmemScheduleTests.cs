using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

/// <summary>Several threads under pressure: many schedules in the simulator, real threads on the operating system.</summary>
public sealed unsafe class KmemScheduleTests
{
    [Fact]
    public void Threads_that_fight_for_an_arena_too_small_all_get_their_memory() => Backends.Run(
        static () => Fight(KmemPolicy.Fstrans),
        seeds: 60,
        osRounds: 3);

    [Fact]
    public void A_fight_under_the_policy_of_2011_ends_too() => Backends.Run(static () => Fight(KmemPolicy.None), seeds: 20);

    [SimFact]
    public void The_same_seed_gives_the_same_run_to_the_last_address()
    {
        for (ulong seed = 1; seed <= 5; seed++)
        {
            SimResult first = SimWorld.Run(new SimOptions { Seed = seed }, static () => Fight(KmemPolicy.Fstrans));
            SimResult second = SimWorld.Run(new SimOptions { Seed = seed }, static () => Fight(KmemPolicy.Fstrans));
            Assert.Equal(SimOutcome.Completed, first.Outcome);
            Assert.Equal(first.TraceHash, second.TraceHash);
            Assert.Equal(first.Steps, second.Steps);
        }
    }

    [SimFact]
    public void A_world_that_ends_in_the_middle_takes_its_memory_along()
    {
        SimResult result = SimWorld.Run(new SimOptions(), static () =>
        {
            KmemSystem.Init(KmemWorld.Options());
            _ = KmemAllocator.Alloc(100, KmFlags.Sleep);
            _ = KmemAllocator.VmemAlloc(9 << 20, KmFlags.Sleep);
            throw new InvalidOperationException("the end");
        });
        Assert.Equal(SimOutcome.Failed, result.Outcome);
        KmemWorld.Run(static system => Assert.Equal(system.Mapping.ArenaPages, system.Pages.FreePages));
    }

    [Fact]
    public void An_arena_is_set_up_and_given_back_thousands_of_times()
    {
        KmemWorld.Run(static system => { });
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        for (int i = 0; i < 2000; i++)
        {
            KmemWorld.Run(static system => KmemAllocator.Free(KmemAllocator.Alloc(100, KmFlags.Sleep), 100));
        }

        Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20));
    }

    private static void Fight(KmemPolicy policy)
    {
        KmemSystem system = KmemSystem.Init(KmemWorld.Options(policy, poison: SplPlatform.IsSimulated));
        string? leaks;
        try
        {
            Fight(system);
            leaks = system.DescribeLeaks();
        }
        finally
        {
            KmemSystem.Shutdown();
        }

        Assert.Null(leaks);
    }

    private static void Fight(KmemSystem system)
    {
        var hoard = new PageHoard();
        Shrinkers.Register(hoard);
        KmemCache buffers = KmemCache.Create("zio_buf_131072", 131072, 4096);
        KmemCache small = KmemCache.Create("small", 336);

        // What is left of the arena is less than the threads would take together, but for what the shrinker gives back.
        hoard.FillTo(system, system.Pages.Marks.Min + 16);
        KmemWorld.Parallel(4, me => Fighter(me, buffers, small));
        KmemWorld.Until(static () => KmemStats.Snapshot().PagesReclaimed > 0, "pages are reclaimed");
        Assert.True(KmemStats.Snapshot().KswapdWakes > 0);
        Shrinkers.Unregister(hoard);
        hoard.Drop(system);
        buffers.Destroy();
        small.Destroy();
    }

    private static void Fighter(int me, KmemCache buffers, KmemCache small)
    {
        var rng = new SeededRandom((ulong)me + 1);
        var live = new nint[6];
        for (int i = 0; i < 40; i++)
        {
            int slot = rng.Next(live.Length);
            KmemCache cache = slot < 2 ? buffers : small;
            if (live[slot] != 0)
            {
                Assert.Equal(live[slot], *(nint*)live[slot]);
                cache.Free((byte*)live[slot]);
                live[slot] = 0;
                continue;
            }

            KmFlags flags = rng.Next(3) == 0 ? KmFlags.PushPage : KmFlags.Sleep;
            if (rng.Next(2) == 0)
            {
                using (Fstrans.Mark())
                {
                    live[slot] = (nint)cache.Alloc(flags);
                }
            }
            else
            {
                live[slot] = (nint)cache.Alloc(flags);
            }

            *(nint*)live[slot] = live[slot];
            SimWorld.Trace(live[slot]);
        }

        for (int slot = 0; slot < live.Length; slot++)
        {
            if (live[slot] != 0)
            {
                (slot < 2 ? buffers : small).Free((byte*)live[slot]);
            }
        }
    }
}
