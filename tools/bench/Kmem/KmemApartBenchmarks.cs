using System.Runtime.CompilerServices;
using BenchmarkDotNet.Attributes;

namespace ZfsLite.Bench.Kmem;

/// <summary>As <see cref="KmemPairBenchmarks{TAllocator,T}"/>, but each allocation and each free is made in a method of its own, as in most programs: in a
/// bare loop the JIT finds the thread's own data once for all pairs, of kmem as of a P/Invoke.</summary>
[GenericTypeArguments(typeof(SlubqAllocator), typeof(nint))]
[GenericTypeArguments(typeof(KmallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(MimallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(JemallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(GlibcAllocator), typeof(nint))]
[GenericTypeArguments(typeof(NativeMemoryAllocator), typeof(nint))]
[GenericTypeArguments(typeof(ArrayPoolAllocator), typeof(byte[]))]
[GenericTypeArguments(typeof(IdleAllocator), typeof(nint))]
public class KmemApartBenchmarks<TAllocator, T>
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
            Free(ref _allocator, Alloc(ref _allocator, size), size);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static T Alloc(ref TAllocator allocator, int size) => allocator.Alloc(size);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Free(ref TAllocator allocator, T obj, int size) => allocator.Free(obj, size);
}
