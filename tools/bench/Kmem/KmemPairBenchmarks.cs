using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using ZfsLite.Kmem;

namespace ZfsLite.Bench.Kmem;

/// <summary>An allocation and its free: a cache (a magazine hit), kmem_alloc, and malloc of the C library beside them.</summary>
public unsafe class KmemPairBenchmarks
{
    private KmemCache _cache = null!;

    /// <summary>Bytes of an object.</summary>
    [Params(64, 512, 4096, 131072)]
    public int Size { get; set; }

    /// <summary>Sets up an arena of the default size.</summary>
    [GlobalSetup]
    public void Setup()
    {
        KmemSystem.Init(new KmemOptions { LockArena = false });
        _cache = KmemCache.Create("bench", Size);
    }

    /// <summary>Gives the arena back.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _cache.Destroy();
        KmemSystem.Shutdown();
    }

    /// <summary>kmem_cache_alloc and free.</summary>
    [Benchmark]
    public void Cache() => _cache.Free(_cache.Alloc(KmFlags.Sleep));

    /// <summary>kmem_alloc and free.</summary>
    [Benchmark]
    public void KmemAlloc() => KmemAllocator.Free(KmemAllocator.Alloc(Size, KmFlags.Sleep), Size);

    /// <summary>malloc and free of the C library.</summary>
    [Benchmark(Baseline = true)]
    public void NativeHeap() => NativeMemory.Free(NativeMemory.Alloc((nuint)Size));
}
