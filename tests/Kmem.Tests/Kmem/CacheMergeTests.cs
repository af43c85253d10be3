using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

/// <summary>Caches that share slabs, names, and the races of making and ending caches.</summary>
public sealed unsafe class CacheMergeTests
{
    [Fact]
    public void Equal_caches_share_slabs_and_each_name_keeps_exact_figures() => KmemWorld.Run(
        static system =>
        {
            KmemCache first = KmemCache.Create("first", 2000);
            KmemCache second = KmemCache.Create("second", 1997);
            Assert.Equal("second", second.Name);
            Assert.Same(first.Engine, second.Engine);
            byte* a = first.Alloc(KmFlags.Sleep);
            byte* b = second.Alloc(KmFlags.Sleep);
            byte* c = second.Alloc(KmFlags.Sleep);
            second.Free(second.Alloc(KmFlags.Sleep));
            KmemCacheStats[] all = [.. KmemStats.Snapshot().Caches];
            KmemCacheStats one = all.Single(static s => s.Name == "first");
            KmemCacheStats two = all.Single(static s => s.Name == "second");
            Assert.Equal(["second"], one.Aliases);
            Assert.Equal("first", two.SharesSlabsOf);
            Assert.Equal((1, 1, 0), (one.ObjectsAllocated, one.Allocs, one.Frees));
            Assert.Equal((2, 3, 1), (two.ObjectsAllocated, two.Allocs, two.Frees));
            Assert.Equal(one.Bytes, all.Where(static s => s.Name is "first" or "second").Sum(static s => s.Bytes));

            Assert.Contains("2 of second", system.DescribeLeaks()!, StringComparison.Ordinal);
            InvalidOperationException e = Assert.Throws<InvalidOperationException>(second.Destroy);
            Assert.Contains("cache second is destroyed with 2 live", e.Message, StringComparison.Ordinal);

            // The first name may go before the second: the slabs live on.
            first.Free(a);
            first.Destroy();
            Assert.Null(second.Statistics().SharesSlabsOf);
            Assert.True(second.Statistics().SlabsTotal > 0);
            second.Free(b);
            second.Free(c);
            second.Destroy();
            _ = Assert.Throws<InvalidOperationException>(first.Destroy);
        },
        KmemWorld.Options(merge: true, engine: SlabEngineKind.Slubq));

    [Fact]
    public void What_tells_caches_apart_keeps_them_apart() => KmemWorld.Run(
        static system =>
        {
            KmemCache plain = KmemCache.Create("plain", 2000);
            KmemCache[] others =
            [
                KmemCache.Create("larger", 2008),
                KmemCache.Create("aligned", 2000, 2048),
                KmemCache.Create("made", 2000, 8, static _ => { }, null),
                KmemCache.Create("ended", 2000, 8, null, static _ => { }),
                KmemCache.Create("flagged", 2000, 8, null, null, KmemCacheFlags.NoMagazine),
            ];
            Assert.All(others, o => Assert.NotSame(plain.Engine, o.Engine));
            Array.ForEach(others, static o => o.Destroy());
            plain.Destroy();
        },
        KmemWorld.Options(merge: true, engine: SlabEngineKind.Slubq));

    [Theory]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public void Poison_or_the_option_keeps_equal_caches_apart(bool merge, bool poison) => KmemWorld.Run(
        static system =>
        {
            KmemCache one = KmemCache.Create("one", 2000);
            KmemCache two = KmemCache.Create("two", 2000);
            Assert.NotSame(one.Engine, two.Engine);
            one.Destroy();
            two.Destroy();
        },
        KmemWorld.Options(merge: merge, poison: poison));

    [Fact]
    public void A_name_can_be_had_twice_only_for_an_equal_cache() => KmemWorld.Run(
        static system =>
        {
            KmemCache one = KmemCache.Create("dnode_t", 888);
            KmemCache same = KmemCache.Create("dnode_t", 888);
            Assert.Same(one.Engine, same.Engine);
            InvalidOperationException e = Assert.Throws<InvalidOperationException>(() => KmemCache.Create("dnode_t", 896));
            Assert.Contains("cache dnode_t exists already: objects of 888 bytes", e.Message, StringComparison.Ordinal);
            _ = Assert.Throws<InvalidOperationException>(() => KmemCache.Create("dnode_t", 888, 8, static _ => { }, null));
            one.Destroy();
            same.Destroy();
            KmemCache made = KmemCache.Create("dnode_t", 888, 8, static _ => { }, null);
            _ = Assert.Throws<InvalidOperationException>(() => KmemCache.Create("dnode_t", 888, 8, static _ => { }, null));
            made.Destroy();
            KmemCache.Create("dnode_t", 896).Destroy();
        },
        KmemWorld.Options(poison: true));

    [Fact]
    public void Caches_are_made_used_and_ended_by_many_threads_at_once_while_reclaim_reaps() => ZfsLite.TestKit.Backends.Run(
        static () =>
        {
            KmemSystem system = KmemSystem.Init(KmemWorld.Options(merge: true, engine: SlabEngineKind.Slubq));
            try
            {
                KmemWorld.Parallel(4, me =>
                {
                    var rng = new SeededRandom((ulong)me + 7);
                    for (int i = 0; i < 12; i++)
                    {
                        KmemCache cache = KmemCache.Create($"c{rng.Next(3)}", 1000);
                        byte* p = cache.Alloc(KmFlags.Sleep);
                        *(long*)p = me;
                        if (rng.Next(3) == 0)
                        {
                            _ = system.Caches.Expire();
                        }

                        Assert.Equal(me, *(long*)p);
                        cache.Free(p);
                        cache.Destroy();
                    }
                });
                Assert.Null(system.DescribeLeaks());
                Assert.DoesNotContain(system.Caches.Statistics(), static s => s.Name.StartsWith('c'));
            }
            finally
            {
                KmemSystem.Shutdown();
            }
        },
        seeds: 100,
        osRounds: 20);
}
