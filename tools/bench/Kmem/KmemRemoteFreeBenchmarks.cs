using BenchmarkDotNet.Attributes;

namespace ZfsLite.Bench.Kmem;

/// <summary>One thread allocates, another frees what it is handed in rings of 256: the figure is wall time per object.</summary>
[GenericTypeArguments(typeof(SlubqAllocator), typeof(nint))]
[GenericTypeArguments(typeof(KmallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(MimallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(JemallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(GlibcAllocator), typeof(nint))]
[GenericTypeArguments(typeof(NativeMemoryAllocator), typeof(nint))]
[GenericTypeArguments(typeof(ArrayPoolAllocator), typeof(byte[]))]
public class KmemRemoteFreeBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private const int Objects = 100_000;
    private const int Ring = 256;

    private readonly T[] _ring = new T[Ring];
    private TAllocator _allocator;
    private BenchThreads _threads = null!;
    private int _put;
    private int _taken;

    /// <summary>Bytes of an object.</summary>
    [ParamsSource(nameof(Sizes))]
    public int Size { get; set; }

    /// <summary>Sizes of this run.</summary>
    public IEnumerable<int> Sizes => BenchSizes.Few;

    /// <summary>Sets up.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var allocator = default(TAllocator);
        allocator.Open(Size);
        _allocator = allocator;
        _threads = new BenchThreads(2, Work);
    }

    /// <summary>Ends.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _threads.Dispose();
        _allocator.Close();
    }

    /// <summary>Producer and consumer.</summary>
    [Benchmark(OperationsPerInvoke = Objects)]
    public void Handed()
    {
        _put = _taken = 0;
        _threads.RunAll();
    }

    private void Work(int thread)
    {
        if (thread == 0)
        {
            Produce();
        }
        else
        {
            Consume();
        }
    }

    private void Produce()
    {
        TAllocator allocator = _allocator;
        var spin = default(SpinWait);
        for (int i = 0; i < Objects; i++)
        {
            while (i - Volatile.Read(ref _taken) >= Ring)
            {
                spin.SpinOnce();
            }

            _ring[i % Ring] = allocator.Alloc(Size);
            Volatile.Write(ref _put, i + 1);
        }
    }

    private void Consume()
    {
        TAllocator allocator = _allocator;
        var spin = default(SpinWait);
        for (int i = 0; i < Objects; i++)
        {
            while (Volatile.Read(ref _put) <= i)
            {
                spin.SpinOnce();
            }

            allocator.Free(_ring[i % Ring], Size);
            Volatile.Write(ref _taken, i + 1);
        }
    }
}
