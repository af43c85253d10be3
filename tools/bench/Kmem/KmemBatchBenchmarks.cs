using BenchmarkDotNet.Attributes;

namespace ZfsLite.Bench.Kmem;

/// <summary>1,000 allocations, then their frees, so that queues run empty and full: the figure is per object.</summary>
[GenericTypeArguments(typeof(SlubqAllocator), typeof(nint))]
[GenericTypeArguments(typeof(KmallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(MimallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(JemallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(GlibcAllocator), typeof(nint))]
[GenericTypeArguments(typeof(NativeMemoryAllocator), typeof(nint))]
[GenericTypeArguments(typeof(ArrayPoolAllocator), typeof(byte[]))]
public class KmemBatchBenchmarks<TAllocator, T> : AllocatorBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private const int Objects = 1000;

    private readonly T[] _live = new T[Objects];

    /// <summary>A batch.</summary>
    [Benchmark(OperationsPerInvoke = Objects)]
    public void Batch()
    {
        TAllocator allocator = Allocator;
        int size = Size;
        T[] live = _live;
        for (int i = 0; i < live.Length; i++)
        {
            live[i] = allocator.Alloc(size);
        }

        for (int i = 0; i < live.Length; i++)
        {
            allocator.Free(live[i], size);
        }
    }
}
