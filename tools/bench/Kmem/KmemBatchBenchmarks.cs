using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using ZfsLite.Kmem;

namespace ZfsLite.Bench.Kmem;

/// <summary>Many live objects at a time, so that magazines run empty and full: the figure is per object.</summary>
public unsafe class KmemBatchBenchmarks
{
    private const int Objects = 1000;

    private readonly nint[] _live = new nint[Objects];
    private KmemCache _cache = null!;

    /// <summary>Bytes of an object.</summary>
    [Params(64, 4096, 131072)]
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

    /// <summary>kmem_cache_alloc of all, then free of all.</summary>
    [Benchmark(OperationsPerInvoke = Objects)]
    public void Cache()
    {
        for (int i = 0; i < Objects; i++)
        {
            _live[i] = (nint)_cache.Alloc(KmFlags.Sleep);
        }

        for (int i = 0; i < Objects; i++)
        {
            _cache.Free((byte*)_live[i]);
        }
    }

    /// <summary>The same with malloc and free of the C library.</summary>
    [Benchmark(Baseline = true, OperationsPerInvoke = Objects)]
    public void NativeHeap()
    {
        for (int i = 0; i < Objects; i++)
        {
            _live[i] = (nint)NativeMemory.Alloc((nuint)Size);
        }

        for (int i = 0; i < Objects; i++)
        {
            NativeMemory.Free((void*)_live[i]);
        }
    }
}
