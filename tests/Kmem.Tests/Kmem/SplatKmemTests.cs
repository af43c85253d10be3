using Xunit;

namespace ZfsLite.Kmem.Tests;

/// <summary>The slab tests of the splat suite, 0x0105 to 0x0107, as far as sizes fit into a test's arena. Unlike the originals they
/// count slabs, so that a cache that never made one can't pass.</summary>
public sealed unsafe class SplatKmemTests
{
    [Fact]
    public void Splat_0x0105_small_slab_objects_of_random_size_kind_and_alignment() => KmemWorld.Run(static system =>
    {
        var rng = new KmemWorld.Rng(105);
        for (int round = 0; round < 100; round++)
        {
            KmemCacheFlags flags = rng.Next(3) switch
            {
                0 => KmemCacheFlags.Vmem,
                1 => KmemCacheFlags.NoMagazine,
                _ => KmemCacheFlags.None,
            };
            CacheLifeTest(32 + rng.Next(4096 - 32), 8 << rng.Next(10), flags, 64);
        }
    });

    [Fact]
    public void Splat_0x0106_large_slab_objects() => KmemWorld.Run(static system =>
    {
        var rng = new KmemWorld.Rng(106);
        for (int round = 0; round < 40; round++)
        {
            CacheLifeTest(4096 + rng.Next(1 << 20), 8, round % 2 == 0 ? KmemCacheFlags.None : KmemCacheFlags.Vmem, 4);
        }
    });

    [Fact]
    public void Splat_0x0107_every_alignment() => KmemWorld.Run(static system =>
    {
        var rng = new KmemWorld.Rng(107);
        for (int align = 8; align <= 4096; align *= 2)
        {
            CacheLifeTest(32 + rng.Next(64 << 10), align, KmemCacheFlags.None, 8);
            CacheLifeTest(32 + rng.Next(1000), align, KmemCacheFlags.NoMagazine, 40);
        }
    });

    private static void CacheLifeTest(int size, int align, KmemCacheFlags flags, int count)
    {
        int constructed = 0;
        int destructed = 0;
        KmemCache cache = KmemCache.Create(
            "splat",
            size,
            align,
            p =>
            {
                constructed++;
                *(uint*)p = 0x004488CC;
            },
            p => destructed++,
            flags);
        var live = new nint[count];
        for (int i = 0; i < count; i++)
        {
            byte* p = cache.Alloc(KmFlags.Sleep);
            Assert.Equal(0, (nint)p % align);
            Assert.Equal(0x004488CCu, *(uint*)p);
            new Span<byte>(p, size).Fill((byte)(i + 1));
            live[i] = (nint)p;
        }

        Assert.True(cache.Statistics().SlabsTotal > 0);
        Assert.Equal(count, cache.Statistics().ObjectsAllocated);
        for (int i = 0; i < count; i++)
        {
            Assert.False(new ReadOnlySpan<byte>((byte*)live[i], size).ContainsAnyExcept((byte)(i + 1)));
            cache.Free((byte*)live[i]);
        }

        Assert.Equal(count, constructed);
        Assert.Equal(count, destructed);
        Assert.Equal(0, cache.Statistics().ObjectsAllocated);
        cache.Destroy();
    }
}
