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
public class KmemThreadBenchmarks<TAllocator, T> : AllocatorBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private const int Pairs = 200_000;

    private BenchThreads _threads = null!;

    /// <inheritdoc/>
    protected override IEnumerable<int> SizesOfRun => [64, 4096];

    /// <summary>Threads.</summary>
    [Params(1, 2, 4)]
    public int Threads { get; set; }

    /// <summary>All threads do their share of the pairs.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void PairsByThreads() => _threads.RunAll();

    /// <inheritdoc/>
    protected override void Begin() => _threads = new BenchThreads(Threads, _ => Work());

    /// <inheritdoc/>
    protected override void End() => _threads.Dispose();

    private void Work()
    {
        int size = Size;
        TAllocator allocator = Allocator;
        for (int i = Pairs / Threads; i > 0; i--)
        {
            allocator.Free(allocator.Alloc(size), size);
        }
    }
}
