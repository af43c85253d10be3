using BenchmarkDotNet.Attributes;

namespace ZfsLite.Bench.Kmem;

/// <summary>One thread allocates, another frees what it is handed, 32 objects at a time, at most 256 on the way: the figure is wall
/// time per object. What handing over costs by itself is in the row of the idle allocator.</summary>
[GenericTypeArguments(typeof(SlubqAllocator), typeof(nint))]
[GenericTypeArguments(typeof(KmallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(MimallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(JemallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(GlibcAllocator), typeof(nint))]
[GenericTypeArguments(typeof(NativeMemoryAllocator), typeof(nint))]
[GenericTypeArguments(typeof(ArrayPoolAllocator), typeof(byte[]))]
[GenericTypeArguments(typeof(IdleAllocator), typeof(nint))]
public class KmemRemoteFreeBenchmarks<TAllocator, T> : AllocatorBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private const int Objects = 131_072;
    private const int Ring = 256;
    private const int Handful = 32;

    // The two counters are on cache lines of their own.
    private const int Put = 16;
    private const int Taken = 48;

    private readonly T[] _ring = new T[Ring];
    private readonly int[] _counters = new int[64];
    private BenchThreads _threads = null!;

    /// <inheritdoc/>
    protected override IEnumerable<int> SizesOfRun => BenchSizes.Few;

    /// <summary>Producer and consumer.</summary>
    [Benchmark(OperationsPerInvoke = Objects)]
    public void Handed()
    {
        _counters[Put] = _counters[Taken] = 0;
        _threads.RunAll();
    }

    /// <inheritdoc/>
    protected override void Begin() => _threads = new BenchThreads(2, Work);

    /// <inheritdoc/>
    protected override void End() => _threads.Dispose();

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
        TAllocator allocator = Allocator;
        int size = Size;
        T[] ring = _ring;
        for (int i = 0; i < Objects; i += Handful)
        {
            Await(ref _counters[Taken], i + Handful - Ring);
            for (int k = i; k < i + Handful; k++)
            {
                ring[k % Ring] = allocator.Alloc(size);
            }

            Volatile.Write(ref _counters[Put], i + Handful);
        }
    }

    private void Consume()
    {
        TAllocator allocator = Allocator;
        int size = Size;
        T[] ring = _ring;
        for (int i = 0; i < Objects; i += Handful)
        {
            Await(ref _counters[Put], i + Handful);
            for (int k = i; k < i + Handful; k++)
            {
                allocator.Free(ring[k % Ring], size);
            }

            Volatile.Write(ref _counters[Taken], i + Handful);
        }
    }

    // Spins; every now and then it gives the processor away, since there may be fewer of them than threads.
    private static void Await(ref int counter, int value)
    {
        for (int spins = 1; Volatile.Read(ref counter) < value; spins++)
        {
            Thread.SpinWait(8);
            if (spins % 256 == 0)
            {
                _ = Thread.Yield();
            }
        }
    }
}
