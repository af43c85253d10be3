using System.Runtime.CompilerServices;
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
[GenericTypeArguments(typeof(IdleAllocator), typeof(nint))]
public class KmemPairBenchmarks<TAllocator, T> : AllocatorBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private const int Pairs = 1000;
    private const int Held = 32;

    private readonly T[] _held = new T[Held];

    /// <summary>In a loop.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void Pair()
    {
        TAllocator allocator = Allocator;
        int size = Size;
        for (int i = 0; i < Pairs; i++)
        {
            allocator.Free(allocator.Alloc(size), size);
        }
    }

    /// <summary>Each allocation and each free in a method of its own, as in most programs: in a bare loop the JIT finds the thread's own data
    /// once for all pairs, of kmem as of a P/Invoke.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void Apart()
    {
        TAllocator allocator = Allocator;
        int size = Size;
        for (int i = 0; i < Pairs; i++)
        {
            Free(ref allocator, Alloc(ref allocator, size), size);
        }
    }

    /// <inheritdoc/>
    protected override void Begin()
    {
        for (int i = 0; i < Held; i++)
        {
            _held[i] = Allocator.Alloc(Size);
        }
    }

    /// <inheritdoc/>
    protected override void End()
    {
        foreach (T held in _held)
        {
            Allocator.Free(held, Size);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static T Alloc(ref TAllocator allocator, int size) => allocator.Alloc(size);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Free(ref TAllocator allocator, T obj, int size) => allocator.Free(obj, size);
}
