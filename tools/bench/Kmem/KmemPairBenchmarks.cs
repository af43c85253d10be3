using BenchmarkDotNet.Attributes;

namespace ZfsLite.Bench.Kmem;

/// <summary>An allocation and its free, one after the other: a queue hit. Some objects are live all the time: an allocator that gives
/// a page back when its last object is freed does not do so here for each pair.</summary>
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
    private const int Held = 32;

    private readonly T[] _held = new T[Held];
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
        for (int i = 0; i < Held; i++)
        {
            _held[i] = _allocator.Alloc(Size);
        }
    }

    /// <summary>Ends.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (T held in _held)
        {
            _allocator.Free(held, Size);
        }

        _allocator.Close();
    }

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
