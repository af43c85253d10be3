using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

public sealed unsafe class ReclaimTests
{
    [Fact]
    public void Below_min_the_caller_reclaims_in_its_own_thread() => RunWithHoard(
        KmemPolicy.Fstrans,
        static (system, hoard) =>
        {
            hoard.IgnoresKswapd = true;
            ThreadFlags seen = 0;
            hoard.OnScan = (_, _) => seen = Kthread.Current.Flags;
            hoard.FillTo(system, system.Pages.Marks.Min);
            byte* p = system.Kmalloc.For(4096).Alloc(KmFlags.Sleep);
            (ShrinkControl control, Kthread thread) = hoard.Calls.First(static c => !c.Control.IsKswapd);
            Assert.Same(Kthread.Current, thread);
            Assert.True(control.MayEnterFs);
            Assert.False(control.MayWaitForTx);
            Assert.True((seen & ThreadFlags.Memalloc) != 0);
            Assert.Equal(ThreadFlags.None, Kthread.Current.Flags);
            Assert.True(KmemStats.Snapshot().DirectReclaims >= 1);
            system.Kmalloc.For(4096).Free(p);
        });

    [Theory]
    [InlineData(KmemPolicy.None, true, true)]
    [InlineData(KmemPolicy.TxCookie, false, false)]
    [InlineData(KmemPolicy.Fstrans, false, false)]
    public void A_mark_keeps_reclaim_out_of_the_file_system(KmemPolicy policy, bool mayEnterFs, bool mayWait) => RunWithHoard(
        policy,
        (system, hoard) =>
        {
            hoard.IgnoresKswapd = true;
            hoard.FillTo(system, policy == KmemPolicy.TxCookie ? system.Pages.Marks.Min / 2 : system.Pages.Marks.Min);
            using (Fstrans.Mark())
            {
                byte* p = KmemAllocator.Alloc(4096, KmFlags.Sleep);
                KmemAllocator.Free(p, 4096);
            }

            ShrinkControl control = hoard.Calls.First(static c => !c.Control.IsKswapd).Control;
            Assert.Equal(mayEnterFs, control.MayEnterFs);
            Assert.Equal(mayWait, control.MayWaitForTx);
            Assert.Equal(policy == KmemPolicy.None ? 0 : 1, KmemStats.Snapshot().TurnedAway);
        });

    [Theory]
    [InlineData(KmemPolicy.None, true)]
    [InlineData(KmemPolicy.TxCookie, true)]
    [InlineData(KmemPolicy.Fstrans, false)]
    public void Kswapd_wakes_below_low_and_works_up_to_high(KmemPolicy policy, bool mayEnterFs) => RunWithHoard(
        policy,
        (system, hoard) =>
        {
            hoard.FillTo(system, system.Pages.Marks.Low);
            byte* p = KmemAllocator.Alloc(4096 * 3, KmFlags.Sleep);
            KmemWorld.Until(() => system.Pages.FreePages >= system.Pages.Marks.High, "free pages reach high");
            Assert.All(hoard.Calls, c => Assert.Equal(new ShrinkControl(mayEnterFs, true), c.Control));
            KmemStats stats = KmemStats.Snapshot();
            Assert.Equal(1, stats.KswapdWakes);
            Assert.Equal(0, stats.DirectReclaims);
            Assert.True(stats.PagesReclaimed >= system.Pages.Marks.High - system.Pages.Marks.Low);
            KmemAllocator.Free(p, 4096 * 3);
        });

    [Fact]
    public void A_thread_inside_reclaim_uses_the_reserve_and_never_reclaims_again() => RunWithHoard(
        KmemPolicy.None,
        static (system, hoard) =>
        {
            hoard.IgnoresKswapd = true;
            var spare = new List<int>();
            for (int i = 0; i < 64; i++)
            {
                spare.Add(system.Pages.Nodes[0].TryAlloc(1, 0));
            }

            int scans = 0;
            long nested = -1;
            hoard.OnScan = (_, _) =>
            {
                if (Katomic.Increment(ref scans) == 1)
                {
                    // Not a page is free: the nested allocation waits for the helper, and may not reclaim.
                    long before = KmemStats.Snapshot().DirectReclaims;
                    byte* q = KmemAllocator.Alloc(4096, KmFlags.Sleep);
                    nested = KmemStats.Snapshot().DirectReclaims - before;
                    KmemAllocator.Free(q, 4096);
                }
            };
            hoard.FillTo(system, 0);
            Kthread helper = Kthread.Start("helper", () =>
            {
                KmemWorld.Until(() => Katomic.Load(ref scans) > 0, "the shrinker runs");
                Kthread.Sleep(20_000_000);
                spare.ForEach(page => system.Pages.Free(page, 1));
            });
            byte* p = KmemAllocator.Alloc(4096, KmFlags.Sleep);
            helper.Join();
            KmemAllocator.Free(p, 4096);
            Assert.Equal(0, nested);
        });

    [Fact]
    public void A_sleeping_allocation_waits_for_memory_on_the_record() => RunWithHoard(
        KmemPolicy.Fstrans,
        static (system, hoard) =>
        {
            hoard.NeedsFs = true;
            hoard.FillTo(system, system.Pages.Marks.Min);
            byte* p = null;
            Kthread waiter = Kthread.Start("waiter", () =>
            {
                using (Fstrans.Mark())
                {
                    p = KmemAllocator.Alloc(4096, KmFlags.Sleep);
                }
            });
            KmemWorld.Until(() => waiter.WaitingFor?.WaitName == "memory", "the thread waits for memory");
            Assert.True(p == null);
            hoard.Drop(system, 400);
            waiter.Join();
            Assert.True(p != null);
            KmemAllocator.Free(p, 4096);
            KmemStats stats = KmemStats.Snapshot();
            Assert.Equal(1, stats.Stalls);
            Assert.True(stats.StallNs > 0);
        });

    [Fact]
    public void An_object_that_is_freed_ends_the_wait_of_a_thread_that_wants_one_from_the_same_cache() => RunWithHoard(
        KmemPolicy.Fstrans,
        static (system, hoard) =>
        {
            KmemCache cache = KmemCache.Create("waited_for", 1024);
            var held = new List<nint>();
            while (held.Count < 64 || cache.Statistics().ObjectsTotal > held.Count)
            {
                held.Add((nint)cache.Alloc(KmFlags.Sleep));
            }

            cache.Reap();
            hoard.NeedsFs = true;
            hoard.FillTo(system, system.Pages.Marks.Min);
            byte* p = null;
            Kthread waiter = Kthread.Start("waiter", () =>
            {
                using (Fstrans.Mark())
                {
                    p = cache.Alloc(KmFlags.Sleep);
                }
            });
            KmemWorld.Until(() => waiter.WaitingFor?.WaitName == "memory", "the thread waits for memory");
            cache.Free((byte*)held[0]);
            held.RemoveAt(0);
            waiter.Join();
            held.Add((nint)p);
            held.ForEach(o => cache.Free((byte*)o));
            cache.Destroy();
        });

    [Fact]
    public void Out_of_memory_without_progress_is_a_clear_error() => RunWithHoard(
        KmemPolicy.Fstrans,
        static (system, hoard) =>
        {
            hoard.NeedsFs = true;
            hoard.FillTo(system, 64);
            using (Fstrans.Mark())
            {
                KmemExhaustedException e = Assert.Throws<KmemExhaustedException>(static () => { _ = KmemAllocator.Alloc(4096 * 3, KmFlags.Sleep); });
                Assert.Contains("wants 3 pages", e.Message, StringComparison.Ordinal);
                Assert.Contains("64 of 4096 pages free", e.Message, StringComparison.Ordinal);
            }
        },
        KmemWorld.Options(oomNs: 300_000_000));

    [Fact]
    public void Stalls_are_warned_about_but_not_without_limit()
    {
        var warnings = new List<string>();
        RunWithHoard(
            KmemPolicy.Fstrans,
            static (system, hoard) =>
            {
                hoard.NeedsFs = true;
                hoard.FillTo(system, 64);
                KmemWorld.Parallel(7, static me =>
                {
                    using (Fstrans.Mark())
                    {
                        _ = Assert.Throws<KmemExhaustedException>(static () => { _ = KmemAllocator.Alloc(4096, KmFlags.Sleep); });
                    }
                });
            },
            KmemWorld.Options(oomNs: 3_000_000_000, warn: warnings.Add));
        Assert.Equal(5, warnings.Count);
        Assert.Contains("stalled", warnings[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Unregister_waits_for_the_thread_inside() => KmemWorld.Run(static system =>
    {
        var hoard = new PageHoard();
        int state = 0;
        hoard.OnScan = (_, _) =>
        {
            Katomic.Store(ref state, 1);
            while (Katomic.Load(ref state) == 1)
            {
                Kthread.Sleep(1_000_000);
            }
        };
        hoard.Take(system);
        Shrinkers.Register(hoard);
        _ = Assert.Throws<InvalidOperationException>(() => Shrinkers.Register(hoard));
        Kthread inside = Kthread.Start("inside", () => system.Shrinkers.Shrink(new ShrinkControl(true, false), 0));
        KmemWorld.Until(() => Katomic.Load(ref state) == 1, "the scan runs");
        int gone = 0;
        Kthread remover = Kthread.Start("remover", () =>
        {
            Shrinkers.Unregister(hoard);
            Katomic.Store(ref gone, 1);
        });
        Kthread.Sleep(30_000_000);
        Assert.Equal(0, Katomic.Load(ref gone));
        Katomic.Store(ref state, 2);
        remover.Join();
        inside.Join();
        Assert.Equal(1, gone);
        _ = Assert.Throws<InvalidOperationException>(() => Shrinkers.Unregister(hoard));
    });

    [Theory]
    [InlineData(12, 4096 * 64, 128)]
    [InlineData(10, 4096 * 64, 512)]
    [InlineData(12, 100, 0)]
    [InlineData(1, 100, 100)]
    public void The_scan_is_proportional_to_count_and_pressure_and_comes_in_batches(int priority, long count, long scanned)
    {
        var registry = new ShrinkerRegistry();
        var counter = new Counting(count);
        registry.Add(counter);
        registry.Shrink(new ShrinkControl(true, false), priority);
        Assert.Equal(scanned, counter.Scanned);
        Assert.True(counter.Largest <= 128);
    }

    [Fact]
    public void What_was_too_little_to_scan_is_carried_over()
    {
        var registry = new ShrinkerRegistry();
        var counter = new Counting(4096 * 16);
        registry.Add(counter);
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal(0, counter.Scanned);
            registry.Shrink(new ShrinkControl(true, false), 12);
        }

        // 32 a pass, and of what is carried over a 4096th: only the pressure brings it in.
        registry.Shrink(new ShrinkControl(true, false), 1);
        Assert.True(counter.Scanned >= 4096 * 16, $"{counter.Scanned} scanned");
    }

    [Fact]
    public void Stop_ends_the_scan_of_that_shrinker_alone()
    {
        var registry = new ShrinkerRegistry();
        var stopper = new Counting(10_000) { Stops = true };
        var other = new Counting(10_000);
        registry.Add(stopper);
        registry.Add(other);
        registry.Shrink(new ShrinkControl(true, false), 0);
        Assert.Equal(1, stopper.Calls);
        Assert.True(other.Calls > 1);
    }

    [Fact]
    public void An_allocation_under_a_lock_that_a_shrinker_takes_is_reported_without_any_pressure() => KmemWorld.Run(static system =>
    {
        LockOrder.Reset();
        var mutex = new Kmutex("test_fs_lock");
        var hoard = new PageHoard { OnScan = null };
        hoard.OnScan = (_, _) =>
        {
            mutex.Enter();
            mutex.Exit();
        };
        hoard.Take(system);
        Shrinkers.Register(hoard);
        system.Reclaimer.Torture(GfpMask.Kernel, Kthread.Current);
        Assert.Empty(LockOrder.Violations);
        mutex.Enter();
        using (Fstrans.Mark())
        {
            KmemAllocator.Free(KmemAllocator.Alloc(64, KmFlags.Sleep), 64);
        }

        Assert.Empty(LockOrder.Violations);
        KmemAllocator.Free(KmemAllocator.Alloc(64, KmFlags.Sleep), 64);
        mutex.Exit();
        Assert.Contains(LockOrder.Violations, static v => v.ToString()!.Contains("fs_reclaim", StringComparison.Ordinal));
        LockOrder.Reset();
        Shrinkers.Unregister(hoard);
    });

    private static void RunWithHoard(KmemPolicy policy, Action<KmemSystem, PageHoard> body, KmemOptions? options = null) => KmemWorld.Run(
        system =>
        {
            var hoard = new PageHoard();
            Shrinkers.Register(hoard);
            try
            {
                body(system, hoard);
            }
            finally
            {
                Shrinkers.Unregister(hoard);
                hoard.Drop(system);
            }
        },
        options ?? KmemWorld.Options(policy));

    private sealed class Counting(long count) : IShrinker
    {
        public string Name => "counting";

        public long Scanned { get; private set; }

        public long Largest { get; private set; }

        public int Calls { get; private set; }

        public bool Stops { get; init; }

        public long Count(in ShrinkControl control) => count;

        public long Scan(in ShrinkControl control, long toScan)
        {
            Calls++;
            Scanned += toScan;
            Largest = Math.Max(Largest, toScan);
            return Stops ? IShrinker.Stop : toScan;
        }
    }
}
