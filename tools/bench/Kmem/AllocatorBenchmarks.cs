using BenchmarkDotNet.Attributes;

namespace ZfsLite.Bench.Kmem;

/// <summary>Benchmarks of one allocator with objects of one size: makes the allocator ready and ends it.</summary>
/// <typeparam name="TAllocator">The allocator.</typeparam>
/// <typeparam name="T">What stands for an allocation.</typeparam>
public abstract class AllocatorBenchmarks<TAllocator, T>
    where TAllocator : struct, IBenchAllocator<T>
{
    private TAllocator _allocator;

    /// <summary>Bytes of an object.</summary>
    [ParamsSource(nameof(Sizes))]
    public int Size { get; set; }

    /// <summary>Sizes of this run.</summary>
    public IEnumerable<int> Sizes => SizesOfRun;

    /// <summary>Sizes of this run. (What is behind an attribute of BenchmarkDotNet can't be overridden.)</summary>
    protected virtual IEnumerable<int> SizesOfRun => BenchSizes.All;

    /// <summary>The allocator, a copy: a call to a struct in a local is a direct one.</summary>
    protected TAllocator Allocator => _allocator;

    /// <summary>Sets up.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var allocator = default(TAllocator);
        allocator.Open(Size);
        _allocator = allocator;
        Begin();
    }

    /// <summary>Ends.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        End();
        _allocator.Close();
    }

    /// <summary>What a benchmark needs besides.</summary>
    protected virtual void Begin()
    {
    }

    /// <summary>Undoes <see cref="Begin"/>.</summary>
    protected virtual void End()
    {
    }
}
