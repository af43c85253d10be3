using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

public sealed unsafe class KmemCacheTests
{
    [Fact]
    public void No_slab_wastes_more_than_an_eighth_and_every_slab_holds_an_object()
    {
        for (int size = 8; size <= 1 << 18; size += size < 5000 ? 8 : 56)
        {
            var geometry = new SlabGeometry(size, 8);
            int bytes = geometry.Pages * 4096;
            int objects = geometry.ObjectsIn(geometry.Pages);
            Assert.True(objects >= 1 && objects * geometry.Stride <= bytes, $"{size}: {objects} objects in {bytes}");
            Assert.True(bytes - (objects * geometry.Stride) <= bytes / 8, $"{size}: {objects} objects in {bytes}");
            Assert.True(geometry.ObjectsIn(geometry.MinPages) >= 1);
        }
    }

    [Theory]
    [InlineData(16)]
    [InlineData(64)]
    [InlineData(336)]
    [InlineData(512)]
    [InlineData(2560)]
    [InlineData(4096)]
    [InlineData(8192)]
    [InlineData(20480)]
    [InlineData(131072)]
    public void Random_allocations_and_frees_keep_every_byte_and_leave_nothing(int size) => KmemWorld.Run(
        system =>
        {
            KmemCache cache = KmemCache.Create("model", size);
            var model = new ObjectModel();
            var rng = new SeededRandom((ulong)size);
            int most = Math.Min(2000, 6 * KmemWorld.MiB / size);
            for (int i = 0; i < 4000; i++)
            {
                bool grow = rng.Next(100) < (i / 500 % 2 == 0 ? 70 : 30);
                if (grow && model.Count < most)
                {
                    model.Add(cache.Alloc(KmFlags.Sleep), size);
                }
                else if (model.Count > 0)
                {
                    cache.Free((byte*)model.Take(rng.Next(model.Count)).Address);
                }

                if (i % 997 == 0)
                {
                    cache.Reap();
                    Assert.Equal(model.Count, cache.Statistics().ObjectsAllocated);
                }
            }

            while (model.Count > 0)
            {
                cache.Free((byte*)model.Take(model.Count - 1).Address);
            }

            cache.Reap();
            KmemCacheStats stats = cache.Statistics();
            Assert.Equal(0, stats.SlabsTotal);
            Assert.Equal(0, stats.Bytes);
            Assert.Equal(stats.Allocs, stats.Frees);
            Assert.True(stats.SlabsMax > 0);
            cache.Destroy();
        },
        KmemWorld.Options(poison: size <= 4096));

    [Theory]
    [InlineData(8)]
    [InlineData(64)]
    [InlineData(512)]
    [InlineData(4096)]
    [InlineData(32768)]
    [InlineData(131072)]
    public void Objects_of_a_power_of_two_are_naturally_aligned_and_cost_nothing_extra(int size) => KmemWorld.Run(
        _ => NaturallyAligned(size),
        KmemWorld.Options(engine: SlabEngineKind.Slubq));

    private static void NaturallyAligned(int size)
    {
        KmemCache cache = KmemCache.Create("aligned", size);
        var got = new List<nint>();
        for (int i = 0; i < 20; i++)
        {
            byte* p = cache.Alloc(KmFlags.Sleep);
            Assert.Equal(0, (nint)p % size);
            got.Add((nint)p);
        }

        KmemCacheStats stats = cache.Statistics();
        Assert.Equal(stats.Bytes, stats.ObjectsTotal * size);
        got.ForEach(p => cache.Free((byte*)p));
        cache.Destroy();
    }

    [Fact]
    public void Objects_allocated_here_and_freed_there_come_round_through_the_magazines() => KmemWorld.Run(static system =>
    {
        const int rounds = 3000;
        KmemCache cache = KmemCache.Create("passed_on", 64);
        var box = new nint[16];
        var mutex = new Kmutex("test_box");
        int allocated = 0;
        int freed = 0;
        KmemWorld.Parallel(4, me =>
        {
            for (int i = 0; i < rounds; i++)
            {
                byte* mine = cache.Alloc(i % 3 == 0 ? KmFlags.PushPage : KmFlags.Sleep);
                *(long*)mine = (nint)mine ^ 0x5a5a;
                Katomic.Increment(ref allocated);
                int slot = (me + i) % box.Length;
                mutex.Enter();
                nint other = box[slot];
                box[slot] = (nint)mine;
                mutex.Exit();
                if (other != 0)
                {
                    Assert.Equal(other ^ 0x5a5a, *(long*)other);
                    *(long*)other = 0;
                    cache.Free((byte*)other);
                    Katomic.Increment(ref freed);
                }
            }
        });
        KmemCacheStats stats = cache.Statistics();
        Assert.Equal(allocated - freed, stats.ObjectsAllocated);
        Assert.Equal(4 * rounds, stats.Allocs);
        foreach (nint p in box)
        {
            cache.Free((byte*)p);
        }

        cache.Destroy();
    });

    [Fact]
    public void Destroying_a_cache_with_live_objects_fails_and_names_the_count() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("leaky", 100);
        byte* a = cache.Alloc(KmFlags.Sleep);
        byte* b = cache.Alloc(KmFlags.Sleep);
        cache.Free(cache.Alloc(KmFlags.Sleep));
        InvalidOperationException e = Assert.Throws<InvalidOperationException>(cache.Destroy);
        Assert.Contains("leaky", e.Message, StringComparison.Ordinal);
        Assert.Contains("2 live objects", e.Message, StringComparison.Ordinal);
        cache.Free(a);
        cache.Free(b);
        cache.Destroy();
        _ = Assert.Throws<InvalidOperationException>(cache.Destroy);
        _ = Assert.Throws<InvalidOperationException>(() => { _ = cache.Alloc(KmFlags.Sleep); });
    });

    [Fact]
    public void Constructor_and_destructor_run_at_every_allocation_and_free() => KmemWorld.Run(static system =>
    {
        int made = 0;
        int ended = 0;
        KmemCache cache = KmemCache.Create(
            "ctor",
            64,
            8,
            p =>
            {
                made++;
                *(uint*)p = 0x004488CC;
            },
            p =>
            {
                ended++;
                Assert.Equal(0x004488CCu, *(uint*)p);
            });
        for (int i = 1; i <= 10; i++)
        {
            byte* p = cache.Alloc(KmFlags.Sleep);
            Assert.Equal(0x004488CCu, *(uint*)p);
            cache.Free(p);
            Assert.Equal(i, made);
            Assert.Equal(i, ended);
        }

        cache.Destroy();
    });

    [Fact]
    public void A_free_to_the_wrong_cache_or_of_no_object_is_found_out() => KmemWorld.Run(
        static system =>
        {
            KmemCache one = KmemCache.Create("one", 64);
            KmemCache two = KmemCache.Create("two", 64);
            byte* p = one.Alloc(KmFlags.Sleep);
            int local = 0;
            nint outside = (nint)(&local);
            _ = Assert.Throws<InvalidOperationException>(() => two.Free(p));
            _ = Assert.Throws<InvalidOperationException>(() => one.Free(p + 8));
            _ = Assert.Throws<InvalidOperationException>(() => one.Free((byte*)outside));
            _ = Assert.Throws<InvalidOperationException>(() => one.Free(null));
            one.Free(p);
            _ = Assert.Throws<InvalidOperationException>(() => one.Free(p));
            one.Destroy();
            two.Destroy();
        },
        KmemWorld.Options(poison: true));

    [Fact]
    public void Without_magazines_a_second_free_is_found_out_by_the_slab_alone() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("bare", 64, 8, null, null, KmemCacheFlags.NoMagazine);
        byte* p = cache.Alloc(KmFlags.Sleep);
        byte* q = cache.Alloc(KmFlags.Sleep);
        Assert.Equal(0, cache.Statistics().ObjectsInMagazines);
        cache.Free(p);
        _ = Assert.Throws<InvalidOperationException>(() => cache.Free(p));
        _ = Assert.Throws<InvalidOperationException>(() => cache.Free(q + 8));
        cache.Free(q);
        cache.Destroy();
    });

    [Fact]
    public void A_write_after_the_free_is_found_at_the_next_allocation() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = KmemCache.Create("poisoned", 256);
            byte* p = cache.Alloc(KmFlags.Sleep);
            Assert.Equal(Poison.UninitPattern, *(uint*)p);
            cache.Free(p);
            Assert.Equal(Poison.FreePattern, *(uint*)(p + 252));
            p[101] = 0;
            InvalidOperationException e = Assert.Throws<InvalidOperationException>(() => { _ = cache.Alloc(KmFlags.Sleep); });
            Assert.Contains("offset 100", e.Message, StringComparison.Ordinal);
        },
        KmemWorld.Options(poison: true),
        checkLeaks: false);

    /// <summary>By the rules of SLUB+Q; the SPL engine flushes the magazine of the CPU that reclaims alone, and only if no other thread is at it.</summary>
    [Fact]
    public void Pressure_drains_magazines_and_empty_slabs_before_any_shrinker_is_asked() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("hoarded", 2048);
        var got = new List<nint>();
        for (int i = 0; i < 64; i++)
        {
            got.Add((nint)cache.Alloc(KmFlags.Sleep));
        }

        got.ForEach(p => cache.Free((byte*)p));
        Assert.True(cache.Statistics().ObjectsInMagazines > 0);
        var hoard = new PageHoard { IgnoresKswapd = true };
        hoard.FillTo(system, system.Pages.Marks.Min);
        Shrinkers.Register(hoard);
        byte* q = KmemAllocator.Alloc(4096, KmFlags.Sleep);
        Assert.Equal(0, cache.Statistics().SlabsTotal);
        KmemAllocator.Free(q, 4096);
        Shrinkers.Unregister(hoard);
        hoard.Drop(system);
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Fact]
    public void Fuller_slabs_are_taken_from_first_and_empty_ones_go_back() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("partial", 1024, 8, null, null, KmemCacheFlags.NoMagazine);
        var got = new List<nint>();
        for (int i = 0; i < 4 * 6; i++)
        {
            got.Add((nint)cache.Alloc(KmFlags.Sleep));
        }

        Assert.Equal(6, cache.Statistics().SlabsTotal);

        // One object of slab 2 is freed, then all but one of slab 4: the next allocations fill up one of them, and no other.
        cache.Free((byte*)got[8]);
        for (int i = 16; i < 20; i++)
        {
            cache.Free((byte*)got[i]);
        }

        Assert.Equal(6, cache.Statistics().SlabsTotal);
        Assert.Equal(5, cache.Statistics().SlabsAllocated);
        byte* p = cache.Alloc(KmFlags.Sleep);
        Assert.Equal(got[8], (nint)p);
        for (int i = 20; i < 24; i++)
        {
            cache.Free((byte*)got[i]);
        }

        Assert.Equal(5, cache.Statistics().SlabsTotal);
        cache.Reap();
        Assert.Equal(4, cache.Statistics().SlabsTotal);
        for (int i = 0; i < 16; i++)
        {
            cache.Free((byte*)got[i]);
        }

        cache.Destroy();
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Theory]
    [InlineData(0, 8)]
    [InlineData((16 << 20) + 1, 8)]
    [InlineData(64, 4)]
    [InlineData(64, 24)]
    [InlineData(64, 8192)]
    public void A_cache_of_a_bad_size_or_alignment_is_refused(int size, int align) => KmemWorld.Run(system =>
        Assert.Throws<ArgumentOutOfRangeException>(() => KmemCache.Create("bad", size, align)));

    [Fact]
    public void The_hot_paths_allocate_nothing_on_the_gc_heap() => KmemWorld.Run(static system =>
    {
        KmemCache small = KmemCache.Create("gc_small", 64);
        KmemCache big = KmemCache.Create("gc_big", 131072);
        var got = new nint[600];
        Round(small, big, got);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 20; i++)
        {
            Round(small, big, got);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        small.Destroy();
        big.Destroy();
    });

    private static void Round(KmemCache small, KmemCache big, nint[] got)
    {
        for (int i = 0; i < got.Length; i++)
        {
            got[i] = (nint)small.Alloc(KmFlags.Sleep);
        }

        for (int i = 0; i < got.Length; i++)
        {
            small.Free((byte*)got[i]);
        }

        for (int i = 0; i < 10; i++)
        {
            got[i] = (nint)big.Alloc(KmFlags.PushPage);
        }

        for (int i = 0; i < 10; i++)
        {
            big.Free((byte*)got[i]);
        }

        byte* p = KmemAllocator.Zalloc(100_000, KmFlags.Sleep);
        KmemAllocator.Free(p, 100_000);
    }
}
