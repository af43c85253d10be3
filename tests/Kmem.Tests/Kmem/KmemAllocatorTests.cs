using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

public sealed unsafe class KmemAllocatorTests
{
    [Fact]
    public void Every_size_is_zeroed_on_request_keeps_its_bytes_and_comes_back() => KmemWorld.Run(
        static system =>
        {
            for (long size = 1; size <= 6 << 20; size = (size * 3 / 2) + 1)
            {
                byte* p = KmemAllocator.VmemZalloc(size, KmFlags.Sleep);
                Assert.Equal(0, (nint)p % 8);
                Assert.False(new ReadOnlySpan<byte>(p, (int)size).ContainsAnyExcept((byte)0));
                var model = new ObjectModel();
                model.Add(p, (int)size);
                _ = model.Take(0);
                KmemAllocator.VmemFree(p, size);
            }
        },
        KmemWorld.Options(poison: true));

    [Fact]
    public void Random_sizes_keep_every_byte() => KmemWorld.Run(static system =>
    {
        var model = new ObjectModel();
        var rng = new SeededRandom(7);
        for (int i = 0; i < 3000; i++)
        {
            if (rng.Next(100) < 55 && model.Count < 300)
            {
                int size = 1 + (rng.Next(4) == 0 ? rng.Next(60_000) : rng.Next(3000));
                model.Add(KmemAllocator.Alloc(size, KmFlags.Sleep), size);
            }
            else if (model.Count > 0)
            {
                Free(model, rng.Next(model.Count));
            }
        }

        while (model.Count > 0)
        {
            Free(model, 0);
        }
    });

    [Theory]
    [InlineData(100, 300)]
    [InlineData(100, 9000)]
    [InlineData(9000, 100)]
    [InlineData(9000, 13_000)]
    [InlineData(9000, 20_000)]
    [InlineData(20_000, 9000)]
    [InlineData(100_000, 50_000)]
    public void A_free_with_the_wrong_size_is_found_out(long size, long wrong) => KmemWorld.Run(system =>
    {
        byte* p = KmemAllocator.Alloc(size, KmFlags.Sleep);
        _ = Assert.Throws<InvalidOperationException>(() => KmemAllocator.Free(p, wrong));
        KmemAllocator.Free(p, size);
    });

    [Fact]
    public void A_second_free_of_pages_is_found_out() => KmemWorld.Run(static system =>
    {
        byte* p = KmemAllocator.Alloc(20_000, KmFlags.Sleep);
        KmemAllocator.Free(p, 20_000);
        _ = Assert.Throws<InvalidOperationException>(() => KmemAllocator.Free(p, 20_000));
    });

    [Fact]
    public void Up_to_16_KiB_an_allocation_is_served_by_a_queue() => KmemWorld.Run(static system =>
    {
        foreach (long size in (long[])[1, 8192, 8193, 12288, 12289, 16384])
        {
            KmemCache cache = system.Kmalloc.For(size);
            Assert.InRange(cache.ObjectSize, size, size + 4095);
            KmemAllocator.Free(KmemAllocator.Alloc(size, KmFlags.Sleep), size);
            byte* again = KmemAllocator.Alloc(size, KmFlags.Sleep);
            Assert.Equal(1, cache.Statistics().ObjectsAllocated);
            KmemAllocator.Free(again, size);
        }

        Assert.Equal(0, system.LargeBytes);
    });

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData((16 << 20) + 1)]
    public void An_impossible_size_is_refused(long size) => KmemWorld.Run(system =>
        Assert.Throws<ArgumentOutOfRangeException>(() => { _ = KmemAllocator.VmemAlloc(size, KmFlags.Sleep); }));

    [Fact]
    public void Beyond_its_limit_kmem_alloc_gives_null_even_to_those_who_may_sleep() => KmemWorld.Run(static system =>
    {
        const long max = 1 << 20;
        Assert.Equal(max, system.Options.AllocMaxBytes);
        byte* p = KmemAllocator.Alloc(max, KmFlags.Sleep);
        Assert.True(p != null);
        Assert.True(KmemAllocator.Alloc(max + 1, KmFlags.Sleep) == null);
        Assert.True(KmemAllocator.Zalloc(max + 1, KmFlags.PushPage) == null);
        byte* q = KmemAllocator.VmemAlloc(max + 1, KmFlags.Sleep);
        Assert.True(q != null);
        Assert.Equal((2, 3), (KmemStats.Of(system).Failures, KmemStats.Of(system).LargeAllocs));
        KmemAllocator.Free(p, max);
        KmemAllocator.VmemFree(q, max + 1);
    });

    [Fact]
    public void A_large_kmem_alloc_is_warned_of_five_times_a_minute()
    {
        var warnings = new List<string>();
        KmemWorld.Run(
            system =>
            {
                for (int i = 0; i < 8; i++)
                {
                    KmemAllocator.Free(KmemAllocator.Alloc(65536, KmFlags.Sleep), 65536);
                    KmemAllocator.VmemFree(KmemAllocator.VmemAlloc(65537, KmFlags.Sleep), 65537);
                }

                Assert.Empty(warnings);
                for (int i = 0; i < 8; i++)
                {
                    KmemAllocator.Free(KmemAllocator.Alloc(65537, KmFlags.Sleep), 65537);
                }

                Assert.Equal(5, warnings.Count);
                Assert.Contains("kmem_alloc of 65537 bytes", warnings[0], StringComparison.Ordinal);
                Assert.Equal(8, KmemStats.Of(system).LargeAllocs);
                if (SplPlatform.IsSimulated)
                {
                    Kthread.Sleep(61_000_000_000);
                    KmemAllocator.Free(KmemAllocator.Alloc(65537, KmFlags.Sleep), 65537);
                    Assert.Equal(6, warnings.Count);
                }
            },
            KmemWorld.Options(warn: warnings.Add));
    }

    [Fact]
    public void Without_sleep_an_exhausted_arena_gives_null_and_nothing_is_lost() => KmemWorld.Run(static system =>
    {
        var got = new List<nint>();
        byte* p;
        while ((p = KmemAllocator.Alloc(131072, KmFlags.NoSleep)) != null)
        {
            got.Add((nint)p);
        }

        Assert.True(got.Count > 100);
        while ((p = KmemAllocator.Alloc(512, KmFlags.NoSleep)) != null)
        {
            got.Add(-(nint)p);
        }

        Assert.True(system.Kmalloc.For(512).Statistics().Failures > 0);
        foreach (nint a in got)
        {
            KmemAllocator.Free((byte*)Math.Abs(a), a > 0 ? 131072 : 512);
        }
    });

    [Fact]
    public void Nothing_works_before_Init_and_after_Shutdown()
    {
        KmemCache? old = null;
        KmemWorld.Run(system => old = KmemCache.Create("old", 64));
        _ = Assert.Throws<InvalidOperationException>(static () => { _ = KmemAllocator.Alloc(8, KmFlags.Sleep); });
        _ = Assert.Throws<InvalidOperationException>(static () => KmemSystem.Current);
        KmemWorld.Run(system => Assert.Throws<InvalidOperationException>(() => { _ = old!.Alloc(KmFlags.Sleep); }));
    }

    private static void Free(ObjectModel model, int index)
    {
        (nint address, int size) = model.Take(index);
        KmemAllocator.Free((byte*)address, size);
    }
}
