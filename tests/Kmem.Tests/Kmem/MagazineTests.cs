using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

/// <summary>Queues that lean towards a thread, and what happens when another one comes.</summary>
public sealed unsafe class MagazineTests
{
    [Fact]
    public void A_queue_leans_to_the_thread_that_used_it_alone_for_long_and_away_when_another_comes() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("leans", 64);
        Kthread self = Kthread.Current;
        Magazine mine = cache.Magazines[self.Cpu];
        cache.Free(cache.Alloc(KmFlags.Sleep));
        Assert.Null(mine.Owner);
        Pairs(cache, 2000);
        Assert.Same(self, mine.Owner);

        OnMyCpu(() => cache.Free(cache.Alloc(KmFlags.Sleep)));
        Assert.Null(mine.Owner);
        Pairs(cache, 2 * 2000);
        Assert.Same(self, mine.Owner);
        Assert.Equal(0, self.InQueue);
        cache.Destroy();
    });

    [Fact]
    public void A_cache_with_hooks_and_a_cache_without_queues_never_lean() => KmemWorld.Run(static system =>
    {
        KmemCache made = KmemCache.Create("made", 64, 8, static _ => { }, null);
        KmemCache bare = KmemCache.Create("bare", 64, 8, null, null, KmemCacheFlags.NoMagazine);
        Pairs(made, 3000);
        Pairs(bare, 3000);
        Assert.All(made.Magazines.ToArray(), static m => Assert.Null(m.Owner));
        Assert.All(bare.Magazines.ToArray(), static m => Assert.Null(m.Owner));
        made.Destroy();
        bare.Destroy();
    });

    [OsFact]
    public void No_object_is_lost_or_doubled_while_others_take_the_queue_of_a_thread_away_all_the_time() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("revoked", 64);
        int stop = 0;
        long visits = 0;
        Kthread reaper = Kthread.Start("reaper", () =>
        {
            while (Katomic.Load(ref stop) == 0)
            {
                if (cache.FlushQueues())
                {
                    Katomic.Increment(ref visits);
                }
            }
        });
        var live = new nint[16];
        long deadline = Kclock.NowNs + 30_000_000_000;
        long i = 0;
        for (; Katomic.Load(ref visits) < 500 && Kclock.NowNs < deadline; i++)
        {
            int slot = (int)(i & 15);
            if (live[slot] != 0)
            {
                Assert.Equal(live[slot] ^ slot, *(nint*)live[slot]);
                cache.Free((byte*)live[slot]);
            }

            live[slot] = (nint)cache.Alloc(KmFlags.Sleep);
            *(nint*)live[slot] = live[slot] ^ slot;
        }

        Katomic.Store(ref stop, 1);
        reaper.Join();
        foreach (nint p in live)
        {
            cache.Free((byte*)p);
        }

        KmemCacheStats stats = cache.Statistics();
        Assert.Equal((i, i), (stats.Allocs, stats.Frees));
        Assert.True(visits >= 500, $"{visits} visits");
        cache.Destroy();
    });

    [SimFact]
    public void Whoever_comes_while_the_owner_is_inside_goes_to_the_slabs()
    {
        // Two threads of one virtual CPU: one has the queue for itself, the other one keeps coming.
        for (ulong seed = 1; seed <= 2000; seed++)
        {
            SimResult result = SimWorld.Run(Backends.Nth(new SimOptions { PctHorizon = 200 }, (int)seed), Body);
            Assert.True(result.Outcome == SimOutcome.Completed, $"seed {seed}: {result}");
        }

        static void Body()
        {
            KmemSystem.Init(KmemWorld.Options());
            try
            {
                KmemCache cache = KmemCache.Create("shared_cpu", 64);
                var live = new HashSet<nint>();
                KmemWorld.Parallel(Kthread.CpuCount + 1, me =>
                {
                    if (me is not 0 && me != Kthread.CpuCount)
                    {
                        return;
                    }

                    for (int i = 0; i < 12; i++)
                    {
                        byte* p = cache.Alloc(KmFlags.Sleep);
                        Assert.True(live.Add((nint)p), "handed out twice");
                        live.Remove((nint)p);
                        cache.Free(p);
                    }
                });
                cache.Destroy();
            }
            finally
            {
                KmemSystem.Shutdown();
            }
        }
    }

    private static void Pairs(KmemCache cache, int count)
    {
        for (int i = 0; i < count; i++)
        {
            cache.Free(cache.Alloc(KmFlags.Sleep));
        }
    }

    private static void OnMyCpu(Action body)
    {
        int cpu = Kthread.Current.Cpu;
        bool done = false;
        while (!done)
        {
            Kthread.Start("visitor", () =>
            {
                if (Kthread.Current.Cpu == cpu)
                {
                    body();
                    done = true;
                }
            }).Join();
        }
    }
}
