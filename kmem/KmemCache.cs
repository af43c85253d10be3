namespace ZfsLite.Kmem;

/// <summary>A slab cache (kmem_cache_t): objects of one size.</summary>
public sealed unsafe class KmemCache
{
    private KmemCache(string name, int size)
    {
        Name = name;
        ObjectSize = size;
    }

    /// <summary>Name of the cache.</summary>
    public string Name { get; }

    /// <summary>Bytes of one object.</summary>
    public int ObjectSize { get; }

    /// <summary>kmem_cache_create. <paramref name="align"/>: 8 to 4096, a power of two.</summary>
    public static KmemCache Create(string name, int size, int align = 8) => new(name, size);

    /// <summary>kmem_cache_alloc. Null only with <see cref="KmFlags.NoSleep"/>. Contents are undefined.</summary>
    public byte* Alloc(KmFlags flags) => KmemAllocator.Alloc(ObjectSize, flags);

    /// <summary>kmem_cache_free.</summary>
    public void Free(byte* obj) => KmemAllocator.Free(obj, ObjectSize);

    /// <summary>kmem_cache_destroy. Fails, naming the count, if objects are live.</summary>
    public void Destroy()
    {
    }
}
