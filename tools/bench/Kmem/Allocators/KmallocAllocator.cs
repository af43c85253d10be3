using ZfsLite.Kmem;

namespace ZfsLite.Bench.Kmem;

/// <summary>kmem_alloc and kmem_free: a cache found by size.</summary>
public unsafe struct KmallocAllocator : IBenchAllocator<nint>
{
    /// <inheritdoc/>
    public readonly void Open(int size) => KmemSystem.Init(new KmemOptions { LockArena = false, ArenaBytes = BenchArena.Bytes });

    /// <inheritdoc/>
    public readonly void Close() => KmemSystem.Shutdown();

    /// <inheritdoc/>
    public readonly nint Alloc(int size) => (nint)KmemAllocator.Alloc(size, KmFlags.Sleep);

    /// <inheritdoc/>
    public readonly void Free(nint obj, int size) => KmemAllocator.Free((byte*)obj, size);
}
