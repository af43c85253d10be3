using BenchmarkDotNet.Attributes;

namespace ZfsLite.Bench.Kmem;

/// <summary>Pairs by several threads at a time: the figure is wall time per pair over all threads.</summary>
[GenericTypeArguments(typeof(SlubqAllocator), typeof(nint))]
[GenericTypeArguments(typeof(KmallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(MimallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(JemallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(GlibcAllocator), typeof(nint))]
[GenericTypeArguments(typeof(NativeMemoryAllocator), typeof(nint))]
[GenericTypeArguments(typeof(ArrayPoolAllocator), typeof(byte[]))]
public class KmemThreadBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private const int Pairs = 200_000;

    private TAllocator _allocator;
    private BenchThreads _threads = null!;

    /// <summary>Bytes of an object.</summary>
    [Params(64, 4096)]
    public int Size { get; set; }

    /// <summary>Threads.</summary>
    [Params(1, 2, 4)]
    public int Threads { get; set; }

    /// <summary>Sets up.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var allocator = default(TAllocator);
        allocator.Open(Size);
        _allocator = allocator;
        _threads = new BenchThreads(Threads, _ => Work());
    }

    /// <summary>Ends.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _threads.Dispose();
        _allocator.Close();
    }

    /// <summary>All threads do their share of the pairs.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void PairsByThreads() => _threads.RunAll();

    private void Work()
    {
        int size = Size;
        TAllocator allocator = _allocator;
        for (int i = Pairs / Threads; i > 0; i--)
        {
            allocator.Free(allocator.Alloc(size), size);
        }
    }
}
