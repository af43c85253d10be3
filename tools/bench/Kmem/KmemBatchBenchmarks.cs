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
public class KmemBatchBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private const int Objects = 1000;

    private readonly T[] _live = new T[Objects];
    private TAllocator _allocator;

    /// <summary>Bytes of an object.</summary>
    [ParamsSource(nameof(Sizes))]
    public int Size { get; set; }

    /// <summary>Sizes of this run.</summary>
    public IEnumerable<int> Sizes => BenchSizes.All;

    /// <summary>Sets up.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var allocator = default(TAllocator);
        allocator.Open(Size);
        _allocator = allocator;
    }

    /// <summary>Ends.</summary>
    [GlobalCleanup]
    public void Cleanup() => _allocator.Close();

    /// <summary>A batch.</summary>
    [Benchmark(OperationsPerInvoke = Objects)]
    public void Batch()
    {
        int size = Size;
        T[] live = _live;
        for (int i = 0; i < live.Length; i++)
        {
            live[i] = _allocator.Alloc(size);
        }

        for (int i = 0; i < live.Length; i++)
        {
            _allocator.Free(live[i], size);
        }
    }
}
