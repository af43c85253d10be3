using BenchmarkDotNet.Attributes;
using ZfsLite.Kmem;

namespace ZfsLite.Bench.Kmem;

/// <summary>A pair on a cache that is watched: what each letter of slab debugging costs.</summary>
public unsafe class KmemDebugBenchmarks
{
    private const int Pairs = 1000;

    private KmemCache _cache = null!;

    /// <summary>The letter; "-": none.</summary>
    [Params("-", "F", "Z", "P", "U", "T", "L", "A", "FZPU")]
    public string Flags { get; set; } = "-";

    /// <summary>Bytes of an object.</summary>
    [Params(64, 4096)]
    public int Size { get; set; }

    /// <summary>Sets up. What is traced goes nowhere.</summary>
    [GlobalSetup]
    public void Setup()
    {
        KmemSystem.Init(new KmemOptions
        {
            LockArena = false,
            ArenaBytes = BenchArena.Bytes,
            SlabDebug = SlabDebugSpec.Parse($"{Flags},debug"),
            Warn = static _ => { },
        });
        _cache = KmemCache.Create("debug", Size);
    }

    /// <summary>Ends.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _cache.Destroy();
        KmemSystem.Shutdown();
    }

    /// <summary>Pairs.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void WatchedPair()
    {
        for (int i = 0; i < Pairs; i++)
        {
            byte* obj = _cache.Alloc(KmFlags.Sleep);
            if (obj != null)
            {
                _cache.Free(obj);
            }
        }
    }
}
