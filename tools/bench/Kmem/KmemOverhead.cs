using ZfsLite.Kmem;

namespace ZfsLite.Bench.Kmem;

/// <summary>Memory that full slabs take over the bytes of their objects.</summary>
internal static unsafe class KmemOverhead
{
    private const int Objects = 1000;
    private const long Most = 64L << 20;

    /// <summary>The share of the objects' own bytes, 0.125 for an eighth, as a cache with many objects counts it.</summary>
    internal static double Measure(SlabEngineKind engine, int size)
    {
        KmemSystem.Init(new KmemOptions
        {
            LockArena = false,
            MergeCaches = false,
            ArenaBytes = BenchArena.Bytes,
            SlabEngine = engine,
            Spl = new SplEngineOptions { SlabLimit = 0 },
        });
        KmemCache cache = KmemCache.Create("overhead", size);
        var live = new nint[Math.Min(Objects, Most / size)];
        for (int i = 0; i < live.Length; i++)
        {
            live[i] = (nint)cache.Alloc(KmFlags.Sleep);
        }

        KmemCacheStats stats = cache.Statistics();
        foreach (nint obj in live)
        {
            cache.Free((byte*)obj);
        }

        cache.Destroy();
        KmemSystem.Shutdown();
        return ((double)stats.Bytes / ((double)stats.ObjectsTotal * size)) - 1;
    }
}
