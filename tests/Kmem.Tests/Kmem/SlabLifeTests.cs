using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

/// <summary>The laboratory option that gives objects the life of their slab, as before October 2014.</summary>
public sealed unsafe class SlabLifeTests
{
    private const int Objects = 64;

    [Fact]
    public void Objects_are_constructed_with_their_slab_and_destructed_by_a_reap() => Run(SplExpire.None, KmemCacheFlags.Kmem | KmemCacheFlags.NoMagazine, (cache, counts) =>
    {
        nint[] live = Take(cache);
        long inSlabs = cache.Statistics().ObjectsTotal;
        Assert.True(inSlabs >= Objects);
        Assert.Equal((inSlabs, 0), (counts.Constructed, counts.Destructed));
        Give(cache, live);
        Give(cache, Take(cache));
        Assert.Equal((inSlabs, 0), (counts.Constructed, counts.Destructed));
        Assert.Equal(inSlabs, cache.Statistics().ObjectsTotal);

        byte* kept = cache.Alloc(KmFlags.Sleep);
        cache.Reap();
        KmemCacheStats stats = cache.Statistics();
        Assert.Equal(1, stats.SlabsTotal);
        Assert.Equal((inSlabs, inSlabs - stats.ObjectsTotal), (counts.Constructed, counts.Destructed));
        cache.Free(kept);
    });

    [SimFact]
    [Trait("Backend", "sim")]
    public void Without_a_reap_magazines_and_then_slabs_go_after_15_s() => Run(SplExpire.Age, KmemCacheFlags.Kmem, (cache, counts) =>
    {
        Give(cache, Take(cache));
        Kthread.Sleep(14_000_000_000);
        Assert.True(cache.Statistics() is { SlabsTotal: > 0, ObjectsInMagazines: > 0 });
        Assert.Equal(0, counts.Destructed);
        Kthread.Sleep(36_000_000_000);
        Assert.Equal(0, cache.Statistics().SlabsTotal);
        Assert.Equal(counts.Constructed, counts.Destructed);
    });

    [Theory]
    [InlineData(true, "-")]
    [InlineData(false, "F")]
    [InlineData(false, "L,dnode_t")]
    public void Poison_and_slab_debugging_are_refused(bool poison, string debug)
    {
        var options = new KmemOptions
        {
            ArenaBytes = 16 << 20,
            Poison = poison,
            SlabDebug = SlabDebugSpec.Parse(debug),
            LockArena = false,
            Spl = new SplEngineOptions { SlabLife = true },
        };
        ArgumentException refusal = Assert.Throws<ArgumentException>(() => KmemSystem.Init(options));
        Assert.Contains("SlabLife", refusal.Message, StringComparison.Ordinal);
    }

    private static void Run(SplExpire expire, KmemCacheFlags flags, Action<KmemCache, Counts> body) => KmemWorld.Run(
        _ =>
        {
            var counts = new Counts();
            KmemCache cache = KmemCache.Create(
                "slab_life",
                256,
                8,
                obj =>
                {
                    *(long*)obj = (nint)obj;
                    Katomic.Increment(ref counts.Constructed);
                },
                obj =>
                {
                    Assert.Equal((nint)obj, *(long*)obj);
                    Katomic.Increment(ref counts.Destructed);
                },
                flags);
            body(cache, counts);
            cache.Destroy();
            Assert.Equal(counts.Constructed, counts.Destructed);
        },
        KmemWorld.Options(engine: SlabEngineKind.Spl, spl: new SplEngineOptions { Expire = expire, SlabLife = true }));

    private static nint[] Take(KmemCache cache)
    {
        var live = new nint[Objects];
        for (int i = 0; i < Objects; i++)
        {
            live[i] = (nint)cache.Alloc(KmFlags.Sleep);
            Assert.Equal(live[i], *(long*)live[i]);
        }

        return live;
    }

    private static void Give(KmemCache cache, nint[] live)
    {
        foreach (nint obj in live)
        {
            cache.Free((byte*)obj);
        }
    }

    private sealed class Counts
    {
        internal long Constructed;
        internal long Destructed;
    }
}
