using ZfsLite.Kmem;

namespace ZfsLite.Bench.Kmem;

/// <summary>kmem_cache_alloc and kmem_cache_free on the SLUB+Q engine.</summary>
public unsafe struct SlubqAllocator : IBenchAllocator<nint>
{
    private KmemCache _cache;

    /// <inheritdoc/>
    public void Open(int size)
    {
        KmemSystem.Init(new KmemOptions { LockArena = false, ArenaBytes = BenchArena.Bytes });
        _cache = KmemCache.Create("bench", size);
    }

    /// <inheritdoc/>
    public readonly void Close()
    {
        _cache.Destroy();
        KmemSystem.Shutdown();
    }

    /// <inheritdoc/>
    public readonly nint Alloc(int size) => (nint)_cache.Alloc(KmFlags.Sleep);

    /// <inheritdoc/>
    public readonly void Free(nint obj, int size) => _cache.Free((byte*)obj);
}
