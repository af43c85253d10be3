using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

/// <content>Those of plain allocations.</content>
public sealed unsafe partial class FaultsA7
{
    /// <summary>Also its other half: what looked at sizes the wrong way round sent the largest to kmalloc.</summary>
    [SimFact]
    public void A7_12_a_retry_ends_when_a_page_comes_back_and_not_when_its_time_is_up() => KmemWorld.Run(
        static system =>
        {
            var hoard = new PageHoard();
            hoard.FillTo(system, system.Pages.Marks.Min);
            KmemCache cache = KmemCache.Create("a7", 4096, 8, null, null, KmemCacheFlags.NoMagazine);
            for (int i = 0; i < 20; i++)
            {
                var sleeper = new SplWorld.Taker("sleeper", cache, KmFlags.Sleep);
                Kthread.Sleep((500 + (7 * i)) * Ms);
                Assert.False(sleeper.Has);
                long start = Kclock.NowNs;
                hoard.Drop(system, 4);
                sleeper.WaitUntilItHas();

                // It slept for up to 50 ms at a time; the test looks once in a millisecond.
                Assert.InRange(Kclock.NowNs - start, 0, 3 * Ms);
                sleeper.End();
                cache.Reap();
                hoard.FillTo(system, system.Pages.Marks.Min);
            }

            Assert.True(KmemAllocator.Alloc(8 << 20, KmFlags.Sleep) == null);
            hoard.Drop(system);
            byte* p = KmemAllocator.VmemAlloc(8 << 20, KmFlags.Sleep);
            KmemAllocator.VmemFree(p, 8 << 20);
            cache.Destroy();
        },
        KmemWorld.Options(oomNs: 20_000 * Ms));

    [Theory]
    [InlineData(SlabEngineKind.Slubq, false)]
    [InlineData(SlabEngineKind.Slubq, true)]
    [InlineData(SlabEngineKind.Spl, false)]
    [InlineData(SlabEngineKind.Spl, true)]
    public void A7_22_every_way_to_zeroed_memory_gives_zeros(SlabEngineKind engine, bool poison) => KmemWorld.Run(
        system =>
        {
            const int size = 2000;
            KmemCache cache = KmemCache.Create("a7", size, 8, null, null, engine == SlabEngineKind.Spl ? KmemCacheFlags.Vmem : KmemCacheFlags.None);
            var live = new Queue<nint>();
            int emergency = 0;
            for (int i = 0; i < 1500; i++)
            {
                byte* p = cache.Zalloc(i % 5 == 0 ? KmFlags.NoSleep : KmFlags.Sleep);
                emergency += SplWorld.KindOf(system, p) == PageKind.Emergency ? 1 : 0;
                Dirty(p, size);
                live.Enqueue((nint)p);
                if (live.Count > i % 40)
                {
                    cache.Free((byte*)live.Dequeue());
                }
            }

            // New slabs, queues, their filling, and pages of their own.
            Assert.True(cache.Hits() is { SlowAllocs: > 0, Allocs: > 0 });
            Assert.Equal(engine == SlabEngineKind.Spl, emergency > 0);
            while (live.TryDequeue(out nint p))
            {
                cache.Free((byte*)p);
            }

            foreach (int bytes in (int[])[1, 100, 4096, 8192, 8193, 16384, 20000, 65536, 1 << 20])
            {
                for (int i = 0; i < 3; i++)
                {
                    byte* p = KmemAllocator.Zalloc(bytes, KmFlags.Sleep);
                    Dirty(p, bytes);
                    KmemAllocator.Free(p, bytes);
                    p = KmemAllocator.VmemZalloc(bytes, KmFlags.Sleep);
                    Dirty(p, bytes);
                    KmemAllocator.VmemFree(p, bytes);
                }
            }

            cache.Destroy();
        },
        KmemWorld.Options(poison: poison, engine: engine, spl: new SplEngineOptions { MagazineSize = 8 }));

    private static void Dirty(byte* p, int size)
    {
        var bytes = new Span<byte>(p, size);
        Assert.False(bytes.ContainsAnyExcept((byte)0));
        bytes.Fill(0xAA);
    }
}
