using BenchmarkDotNet.Attributes;

namespace ZfsLite.Bench.Kmem;

/// <summary>An allocation and its free, one after the other: a queue hit.</summary>
[GenericTypeArguments(typeof(SlubqAllocator), typeof(nint))]
[GenericTypeArguments(typeof(KmallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(MimallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(JemallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(GlibcAllocator), typeof(nint))]
[GenericTypeArguments(typeof(NativeMemoryAllocator), typeof(nint))]
[GenericTypeArguments(typeof(ArrayPoolAllocator), typeof(byte[]))]
[GenericTypeArguments(typeof(NothingAllocator), typeof(nint))]
public class KmemPairBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private const int Pairs = 1000;

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

    /// <summary>Pairs.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void Pair()
    {
        int size = Size;
        for (int i = 0; i < Pairs; i++)
        {
            _allocator.Free(_allocator.Alloc(size), size);
        }
    }
}
