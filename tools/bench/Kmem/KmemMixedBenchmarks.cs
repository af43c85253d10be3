using BenchmarkDotNet.Attributes;

namespace ZfsLite.Bench.Kmem;

/// <summary>A working set of 4,096 objects of 64 bytes to 16 KiB, of which a random one is replaced each time.</summary>
[GenericTypeArguments(typeof(KmallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(MimallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(JemallocAllocator), typeof(nint))]
[GenericTypeArguments(typeof(GlibcAllocator), typeof(nint))]
[GenericTypeArguments(typeof(NativeMemoryAllocator), typeof(nint))]
[GenericTypeArguments(typeof(ArrayPoolAllocator), typeof(byte[]))]
public class KmemMixedBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private const int Slots = 4096;
    private const int Replaced = 10_000;

    private readonly T[] _live = new T[Slots];
    private readonly int[] _sizes = new int[Slots];
    private TAllocator _allocator;
    private uint _seed = 12345;

    /// <summary>Fills the working set.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var allocator = default(TAllocator);
        allocator.Open(0);
        _allocator = allocator;
        for (int i = 0; i < Slots; i++)
        {
            _sizes[i] = NextSize();
            _live[i] = _allocator.Alloc(_sizes[i]);
        }
    }

    /// <summary>Frees it.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        for (int i = 0; i < Slots; i++)
        {
            _allocator.Free(_live[i], _sizes[i]);
        }

        _allocator.Close();
    }

    /// <summary>A free and an allocation of another size.</summary>
    [Benchmark(OperationsPerInvoke = Replaced)]
    public void Replace()
    {
        for (int i = 0; i < Replaced; i++)
        {
            int slot = (int)(Next() % Slots);
            _allocator.Free(_live[slot], _sizes[slot]);
            _sizes[slot] = NextSize();
            _live[slot] = _allocator.Alloc(_sizes[slot]);
        }
    }

    private uint Next()
    {
        _seed ^= _seed << 13;
        _seed ^= _seed >> 17;
        return _seed ^= _seed << 5;
    }

    // Small sizes are more frequent: each power of two is as likely as the next.
    private int NextSize()
    {
        uint random = Next();
        int low = 64 << (int)(random % 8);
        return low + (int)((random >> 8) % (uint)low);
    }
}
