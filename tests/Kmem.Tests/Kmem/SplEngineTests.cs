using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

/// <summary>The rules of the SPL engine one by one: which caches are its, how slabs are cut, who is in which list, what magazines do.</summary>
public sealed unsafe class SplEngineTests
{
    private const int Page = 4096;

    [Fact]
    public void Flags_have_the_bits_that_upstream_gave_them()
    {
        Assert.Equal(
            [0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200],
            new[]
            {
                KmemCacheFlags.NoTouch, KmemCacheFlags.NoDebug, KmemCacheFlags.NoMagazine, KmemCacheFlags.NoHash, KmemCacheFlags.QCache,
                KmemCacheFlags.Kmem, KmemCacheFlags.Vmem, KmemCacheFlags.Slab, KmemCacheFlags.OffSlab, KmemCacheFlags.NoEmergency,
            }.Select(static f => (int)f));
    }

    [Theory]
    [InlineData(KmemCacheFlags.NoHash)]
    [InlineData(KmemCacheFlags.QCache)]
    [InlineData((KmemCacheFlags)0x4000)]
    [InlineData((KmemCacheFlags)0x100000)]
    [InlineData(KmemCacheFlags.Kmem | KmemCacheFlags.Vmem)]
    [InlineData(KmemCacheFlags.Slab | KmemCacheFlags.Vmem)]
    public void Flags_that_mean_nothing_and_two_kinds_at_once_are_refused(KmemCacheFlags flags) => KmemWorld.Run(
        system => Assert.Throws<ArgumentException>(() => KmemCache.Create("bad", 64, 8, null, null, flags)),
        SplWorld.Options());

    [Theory]
    [InlineData(16384, KmemCacheFlags.None, SlabEngineKind.Slubq, KmemCacheFlags.Slab)]
    [InlineData(16385, KmemCacheFlags.None, SlabEngineKind.Spl, KmemCacheFlags.Vmem)]
    [InlineData(64, KmemCacheFlags.Kmem, SlabEngineKind.Spl, KmemCacheFlags.Kmem)]
    [InlineData(64, KmemCacheFlags.Vmem, SlabEngineKind.Spl, KmemCacheFlags.Vmem)]
    [InlineData(65536, KmemCacheFlags.Slab, SlabEngineKind.Slubq, KmemCacheFlags.Slab)]
    [InlineData(64, KmemCacheFlags.OffSlab, SlabEngineKind.Slubq, KmemCacheFlags.Slab | KmemCacheFlags.OffSlab)]
    public void Small_objects_are_the_hosts_unless_a_kind_is_asked_for(int size, KmemCacheFlags flags, SlabEngineKind engine, KmemCacheFlags shown) => KmemWorld.Run(
        system =>
        {
            KmemCache cache = KmemCache.Create("routed", size, 8, null, null, flags);
            Assert.Equal((engine, shown), (cache.Statistics().Engine, cache.Statistics().Flags));
            cache.Destroy();
        },
        SplWorld.Options());

    [Theory]
    [InlineData(2024, KmemCacheFlags.Kmem)]
    [InlineData(2025, KmemCacheFlags.Vmem)]
    public void Without_the_hosts_slabs_the_limit_of_2048_with_the_header_decides(int size, KmemCacheFlags kind) => KmemWorld.Run(
        system =>
        {
            KmemCache cache = KmemCache.Create("auto", size);
            Assert.Equal(kind, cache.Statistics().Flags);
            byte* p = cache.Alloc(KmFlags.Sleep);
            Assert.Equal(kind == KmemCacheFlags.Vmem, system.Mapping.IndexOf(p) >= system.Mapping.WindowStart);
            cache.Free(p);
            cache.Destroy();
        },
        SplWorld.Options(spl: new SplEngineOptions { SlabLimit = 0 }));

    // Expected: objects, pages.
    [Theory]
    [InlineData(131072, 4096, KmemCacheFlags.Vmem, 8, 1 + (8 * 33))]
    [InlineData(131072, 8, KmemCacheFlags.Vmem, 8, 257)]
    [InlineData(1000, 8, KmemCacheFlags.Vmem, 8, 3)]
    [InlineData(1000, 8, KmemCacheFlags.Kmem, 7, 2)]
    [InlineData(64, 8, KmemCacheFlags.Kmem, 92, 2)]
    [InlineData(16384, 8, KmemCacheFlags.Kmem, 7, 32)]
    [InlineData(4 << 20, 8, KmemCacheFlags.Vmem, 7, 7169)]
    [InlineData(5000, 8, KmemCacheFlags.Vmem | KmemCacheFlags.OffSlab, 8, 1)]
    public void Slabs_are_cut_by_the_rules_of_spl(int size, int align, KmemCacheFlags flags, int objects, int pages)
    {
        var geometry = new SplEngineGeometry("cut", size, align, flags, new SplEngineOptions(), 8L << 30);
        Assert.Equal((objects, pages), (geometry.Objects, geometry.Pages));
        Assert.Equal(0, geometry.FirstObject % align);
        Assert.Equal(0, geometry.ObjectBytes % align);
        Assert.True(geometry.HeaderAt >= size && geometry.ObjectBytes >= geometry.HeaderAt + 24);
    }

    [Theory]
    [InlineData(4 << 20, KmemCacheFlags.Kmem)]
    [InlineData(4 << 20, KmemCacheFlags.Kmem | KmemCacheFlags.OffSlab)]
    public void A_cache_not_one_object_of_which_fits_a_slab_is_refused_at_once(int size, KmemCacheFlags flags) => KmemWorld.Run(
        system =>
        {
            ArgumentOutOfRangeException e = Assert.Throws<ArgumentOutOfRangeException>(() => KmemCache.Create("huge", size, 8, null, null, flags));
            Assert.Contains("ENOSPC", e.Message, StringComparison.Ordinal);
        },
        SplWorld.Options());

    [Theory]
    [InlineData(2 << 20, 4)]
    [InlineData(200 << 10, 16)]
    [InlineData(20000, 64)]
    [InlineData(4096, 64)]
    [InlineData(4000, 128)]
    [InlineData(1000, 256)]
    public void Magazines_have_the_sizes_of_spl(int size, int expected)
    {
        var geometry = new SplEngineGeometry("magazine", size, 8, KmemCacheFlags.Vmem, new SplEngineOptions(), 64L << 30);
        Assert.Equal(expected, geometry.MagazineSize(new SplEngineOptions(), 64L << 30, 4));
        Assert.Equal(2, geometry.MagazineSize(new SplEngineOptions { MagazineSize = 1 }, 64L << 30, 4));
        Assert.Equal(256, geometry.MagazineSize(new SplEngineOptions { MagazineSize = 1000 }, 64L << 30, 4));
        Assert.Equal(0, geometry.MagazineSize(new SplEngineOptions(), 1 << 20, 16));
    }

    [Fact]
    public void The_header_of_a_slab_is_at_its_start_and_one_follows_every_object() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = SplWorld.Cache("layout", KmemCacheFlags.Kmem, 1000);
            byte* p = cache.Alloc(KmFlags.Sleep);
            int page = system.Mapping.Pages[system.Mapping.IndexOf(p)].Head;
            var slab = (SplSlab*)system.Mapping.Address(page);
            Assert.Equal((SplSlab.MagicValue, 1, 7), (slab->Magic, slab->InUse, slab->Objects));
            var header = (SplObject*)(p + 1000);
            Assert.Equal((SplObject.Out, page), (header->Magic, header->SlabPage));
            Assert.True(header->Address == p);
            p[1000] = 0;
            InvalidOperationException e = Assert.Throws<InvalidOperationException>(() => cache.Free(p));
            Assert.Contains("past its end", e.Message, StringComparison.Ordinal);
        },
        SplWorld.Options(),
        checkLeaks: false);

    [Fact]
    public void An_off_slab_object_has_pages_of_its_own() => KmemWorld.Run(
        static system =>
        {
            int free = system.Pages.FreePages;
            KmemCache cache = SplWorld.Cache("off", KmemCacheFlags.Kmem | KmemCacheFlags.OffSlab, 5000);
            byte* p = cache.Alloc(KmFlags.Sleep);
            byte* q = cache.Alloc(KmFlags.Sleep);
            Assert.Equal((0L, 0L), ((nint)p % Page, (nint)q % Page));
            Assert.Equal(1 + (8 * 2), free - system.Pages.FreePages);
            Assert.Equal(17 * Page, cache.Statistics().Bytes);
            _ = Assert.Throws<InvalidOperationException>(() => cache.Free(p + Page));
            cache.Free(p);
            _ = Assert.Throws<InvalidOperationException>(() => cache.Free(p));
            cache.Free(q);
            Assert.Equal(free, system.Pages.FreePages);
            cache.Destroy();
        },
        SplWorld.Options());

    [Fact]
    public void Fuller_slabs_come_first_and_an_empty_one_is_freed_at_once() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = SplWorld.Cache("lists", KmemCacheFlags.Kmem, 1000);
            int per = SplWorld.Engine(cache).Geometry.Objects;
            var got = new List<nint>();
            for (int i = 0; i < per * 3; i++)
            {
                got.Add((nint)cache.Alloc(KmFlags.Sleep));
            }

            Assert.Equal(3, cache.Statistics().SlabsTotal);
            cache.Free((byte*)got[0]);
            cache.Free((byte*)got[per]);
            Assert.Equal(got[per], (nint)cache.Alloc(KmFlags.Sleep));
            Assert.Equal(got[0], (nint)cache.Alloc(KmFlags.Sleep));
            for (int i = 0; i < per; i++)
            {
                cache.Free((byte*)got[per + i]);
                Assert.Equal(i < per - 1 ? 3 : 2, cache.Statistics().SlabsTotal);
            }

            got.RemoveRange(per, per);
            got.ForEach(p => cache.Free((byte*)p));
            Assert.Equal(0, cache.Statistics().SlabsTotal);
            cache.Destroy();
        },
        SplWorld.Options());

    [Fact]
    public void A_magazine_gives_the_last_one_first_and_flushes_its_oldest_half() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = KmemCache.Create("magazine", SplWorld.ObjectSize, 8, null, null, KmemCacheFlags.Vmem);
            var got = new nint[8];
            for (int i = 0; i < got.Length; i++)
            {
                got[i] = (nint)cache.Alloc(KmFlags.Sleep);
            }

            cache.Reap();
            Assert.Equal(0, cache.Statistics().ObjectsInMagazines);
            for (int i = 0; i < 5; i++)
            {
                cache.Free((byte*)got[i]);
            }

            // Four fill it; the fifth sends the two oldest away.
            Assert.Equal(3, cache.Statistics().ObjectsInMagazines);
            foreach (int i in (int[])[4, 3, 2])
            {
                Assert.Equal(got[i], (nint)cache.Alloc(KmFlags.Sleep));
            }

            // A refill takes half a magazine, one of which goes to the caller.
            _ = cache.Alloc(KmFlags.Sleep);
            Assert.Equal(1, cache.Statistics().ObjectsInMagazines);
            _ = cache.Alloc(KmFlags.Sleep);
            foreach (nint p in got)
            {
                cache.Free((byte*)p);
            }

            cache.Destroy();
        },
        SplWorld.Options(spl: new SplEngineOptions { MagazineSize = 4 }));

    [Theory]
    [InlineData(SplExpire.Mem, true)]
    [InlineData(SplExpire.None, false)]
    public void Reaping_flushes_the_magazine_if_so_set(SplExpire expire, bool flushed) => KmemWorld.Run(
        system =>
        {
            KmemCache cache = KmemCache.Create("expire", SplWorld.ObjectSize);
            cache.Free(cache.Alloc(KmFlags.Sleep));
            cache.Reap();
            Assert.Equal(flushed, cache.Statistics().ObjectsInMagazines == 0);
            cache.Destroy();
        },
        SplWorld.Options(spl: new SplEngineOptions { MagazineSize = 8, Expire = expire }));

    [SimFact]
    public void Magazines_that_nobody_used_for_15_s_go_back_by_halves() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = KmemCache.Create("aged", SplWorld.ObjectSize);
            byte* kept = cache.Alloc(KmFlags.Sleep);
            var got = new nint[7];
            for (int i = 0; i < got.Length; i++)
            {
                got[i] = (nint)cache.Alloc(KmFlags.Sleep);
            }

            foreach (nint p in got)
            {
                cache.Free((byte*)p);
            }

            long held = cache.Statistics().ObjectsInMagazines;
            Assert.True(held >= 4);
            Kthread.Sleep(14_000_000_000);
            Assert.Equal(held, cache.Statistics().ObjectsInMagazines);
            Kthread.Sleep(12_000_000_000);
            Assert.InRange(cache.Statistics().ObjectsInMagazines, 0, held - 4);
            Kthread.Sleep(30_000_000_000);
            Assert.Equal(0, cache.Statistics().ObjectsInMagazines);
            cache.Free(kept);
            cache.Destroy();
        },
        SplWorld.Options(spl: new SplEngineOptions { MagazineSize = 8, Expire = SplExpire.Age }));

    [Fact]
    public void A_reap_asks_the_callback_as_long_as_that_gets_anywhere_and_no_slab_is_empty() => KmemWorld.Run(
        static system =>
        {
            var live = new Stack<nint>();
            int calls = 0;
            KmemCache? cache = null;
            cache = SplWorld.Cache("asked", reclaim: () =>
            {
                calls++;
                if (live.TryPop(out nint p))
                {
                    cache!.Free((byte*)p);
                }
            });
            int per = SplWorld.Engine(cache).Geometry.Objects;
            for (int i = 0; i < per + 3; i++)
            {
                live.Push((nint)cache.Alloc(KmFlags.Sleep));
            }

            var pinned = new Stack<nint>();
            pinned.Push(live.Pop());
            cache.Reap();
            Assert.Equal((0, per + 3), (live.Count, calls));
            Assert.Equal(1, cache.Statistics().SlabsTotal);
            cache.Reap();
            Assert.Equal(per + 4, calls);
            cache.Free((byte*)pinned.Pop());
            cache.Reap();
            Assert.Equal(per + 4, calls);
            cache.Destroy();
        },
        SplWorld.Options());

    [Fact]
    public void A_cache_of_the_host_is_asked_through_its_callback_alone() => KmemWorld.Run(
        static system =>
        {
            int calls = 0;
            KmemCache cache = KmemCache.Create("host", 64, 8, null, null, KmemCacheFlags.None, () => calls++);
            byte* p = cache.Alloc(KmFlags.Sleep);
            cache.Free(p);
            _ = system.Spl.Scan(new ShrinkControl(true, false), 10);
            Assert.Equal(1, calls);
            Assert.True(cache.Statistics().ObjectsInMagazines > 0);
            cache.Destroy();
            _ = system.Spl.Scan(new ShrinkControl(true, false), 10);
            Assert.Equal(1, calls);
        },
        SplWorld.Options());

    [Fact]
    public void Destroying_a_cache_with_live_objects_names_them_and_hangs_nobody() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = SplWorld.Cache("leaky");
            var live = new List<nint>();
            for (int i = 0; i <= SplWorld.Engine(cache).Geometry.Objects; i++)
            {
                live.Add((nint)cache.Alloc(i == 0 ? KmFlags.Sleep : KmFlags.NoSleep));
            }

            Assert.Equal(PageKind.Emergency, SplWorld.KindOf(system, (byte*)live[^1]));
            for (; live.Count > 3; live.RemoveAt(1))
            {
                cache.Free((byte*)live[1]);
            }

            InvalidOperationException e = Assert.Throws<InvalidOperationException>(cache.Destroy);
            Assert.Contains("3 live objects", e.Message, StringComparison.Ordinal);
            foreach (nint p in live)
            {
                Assert.Contains($"0x{p:x}", e.Message, StringComparison.Ordinal);
                cache.Free((byte*)p);
            }

            cache.Destroy();
            cache = SplWorld.Cache("leaky", KmemCacheFlags.Kmem, 64);
            var many = new List<nint>();
            while (many.Count < 100)
            {
                many.Add((nint)cache.Alloc(KmFlags.Sleep));
            }

            e = Assert.Throws<InvalidOperationException>(cache.Destroy);
            Assert.Contains("100 live objects", e.Message, StringComparison.Ordinal);
            Assert.Equal(8, e.Message.Split("0x").Length - 1);
            many.ForEach(p => cache.Free((byte*)p));
            cache.Destroy();
        },
        SplWorld.Options());

    [Theory]
    [InlineData(1000, KmemCacheFlags.Kmem)]
    [InlineData(1000, KmemCacheFlags.Vmem)]
    [InlineData(1000, KmemCacheFlags.Kmem | KmemCacheFlags.OffSlab)]
    [InlineData(6000, KmemCacheFlags.Vmem | KmemCacheFlags.OffSlab)]
    [InlineData(20000, KmemCacheFlags.None)]
    [InlineData(131072, KmemCacheFlags.None)]
    [InlineData(131072, KmemCacheFlags.NoMagazine)]
    public void Random_work_with_every_kind_keeps_every_byte_and_leaves_nothing(int size, KmemCacheFlags flags) => KmemWorld.Run(
        system =>
        {
            KmemCache cache = KmemCache.Create("model", size, 8, null, null, flags);
            var model = new ObjectModel();
            var rng = new SeededRandom((ulong)size + (ulong)flags);
            for (int i = 0; i < 1200; i++)
            {
                if (rng.Next(100) < (i / 300 % 2 == 0 ? 70 : 30) && model.Count < 30)
                {
                    model.Add(cache.Alloc(rng.Next(8) == 0 ? KmFlags.NoSleep : KmFlags.Sleep), size);
                }
                else if (model.Count > 0)
                {
                    cache.Free((byte*)model.Take(rng.Next(model.Count)).Address);
                }

                Assert.Equal(model.Count, cache.Statistics().ObjectsAllocated);
            }

            while (model.Count > 0)
            {
                cache.Free((byte*)model.Take(0).Address);
            }

            cache.Reap();
            KmemCacheStats stats = cache.Statistics();
            Assert.Equal((0, 0, 0, 0), (stats.SlabsTotal, stats.Bytes, stats.ObjectsTotal, stats.Emergency));
            Assert.Equal(stats.Allocs, stats.Frees);
            cache.Destroy();
        },
        SplWorld.Options(poison: true, spl: new SplEngineOptions { MagazineSize = 4 }));

    [Fact]
    public void The_tree_of_emergency_objects_is_sorted_balanced_and_forgets_nothing()
    {
        var pages = new PageDesc[5000];
        var tree = new SplEngineTree(pages);
        var model = new SortedSet<int>();
        var rng = new SeededRandom(7);
        for (int i = 0; i < 20_000; i++)
        {
            int page = rng.Next(pages.Length);
            if (rng.Next(100) < (i / 5000 % 2 == 0 ? 75 : 30))
            {
                Assert.Equal(model.Add(page), tree.Add(page));
            }
            else
            {
                Assert.Equal(model.Remove(page), tree.Remove(page));
            }

            Assert.Equal(model.Count, tree.Count);
            Assert.True(tree.Height <= (1.45 * Math.Log2(model.Count + 2)) + 1, $"{tree.Height} levels of {model.Count}");
            if (i % 500 == 0)
            {
                var walked = new List<int>();
                for (int at = tree.After(-1); at >= 0; at = tree.After(at))
                {
                    walked.Add(at);
                }

                Assert.Equal(model, walked);
            }
        }
    }

    [SimFact]
    public void Once_a_growth_is_known_to_hang_nobody_waits_for_it_until_a_slab_comes() => KmemWorld.Run(
        static system =>
        {
            const long ms = 1_000_000;
            var gate = new SplWorld.Gate();
            PageHoard hoard = SplWorld.GatedHoard(system, gate);
            KmemCache cache = SplWorld.Cache("latch");
            var first = new SplWorld.Taker("first", cache, KmFlags.PushPage);
            first.WaitUntilItHas();
            Assert.InRange(first.TookNs, 100 * ms, 101 * ms);
            Assert.True(SplWorld.Engine(cache).IsDeadlocked);
            for (int i = 0; i < 3; i++)
            {
                var next = new SplWorld.Taker("next", cache, KmFlags.PushPage);
                next.WaitUntilItHas();
                Assert.InRange(next.TookNs, 0, ms);
                Assert.Equal(PageKind.Emergency, SplWorld.KindOf(system, (byte*)next.Object));
                next.End();
            }

            // One waited in vain; an object that comes back is no slab.
            Assert.Equal(1, cache.Statistics().GrowthDeadlocks);
            first.End();
            Assert.True(SplWorld.Engine(cache).IsDeadlocked);
            gate.Open();
            KmemWorld.Until(() => !SplWorld.Engine(cache).IsGrowing, "the growth ends");
            Assert.False(SplWorld.Engine(cache).IsDeadlocked);
            SplWorld.End(system, hoard, cache);
        },
        SplWorld.Options(KmemPolicy.TxCookie));

    /// <summary>A thread slower than the reaper would ask for a slab for ever.</summary>
    [SimFact]
    public void A_slab_made_for_a_waiter_is_not_reaped_before_he_has_taken_from_it() => Backends.Run(
        static () =>
        {
            KmemSystem system = KmemSystem.Init(SplWorld.Options());
            KmemCache cache = SplWorld.Cache("made");
            var taker = new SplWorld.Taker("taker", cache, KmFlags.Sleep);
            while (!taker.Has)
            {
                SplWorld.Engine(cache).Shrink();
                Kthread.Yield();
            }

            Assert.Equal(1, system.Vmalloc.Total);
            taker.End();
            SplWorld.Engine(cache).Shrink();
            Assert.Equal(0, cache.Statistics().SlabsTotal);
            cache.Destroy();
            KmemSystem.Shutdown();
        },
        seeds: 200);

    [Fact]
    public void Growing_and_emergency_objects_allocate_nothing_on_the_gc_heap() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = SplWorld.Cache("gc", KmemCacheFlags.Kmem, 1000);
            var got = new nint[40];
            Round(cache, got);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Round(cache, got);
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
            cache.Destroy();
        },
        SplWorld.Options());

    private static void Round(KmemCache cache, nint[] got)
    {
        for (int i = 0; i < got.Length; i++)
        {
            got[i] = (nint)cache.Alloc(i % 3 == 0 ? KmFlags.NoSleep : KmFlags.Sleep);
        }

        foreach (nint p in got)
        {
            cache.Free((byte*)p);
        }
    }
}
