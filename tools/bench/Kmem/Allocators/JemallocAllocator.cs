using System.Runtime.InteropServices;

namespace ZfsLite.Bench.Kmem;

/// <summary>malloc and free of Debian's libjemalloc2.</summary>
public unsafe partial struct JemallocAllocator : IBenchAllocator<nint>
{
    /// <inheritdoc/>
    public readonly void Open(int size)
    {
    }

    /// <inheritdoc/>
    public readonly void Close()
    {
    }

    /// <inheritdoc/>
    public readonly nint Alloc(int size) => Malloc((nuint)size);

    /// <inheritdoc/>
    public readonly void Free(nint obj, int size) => Release(obj);

    [LibraryImport("libjemalloc.so.2", EntryPoint = "malloc")]
    private static partial nint Malloc(nuint size);

    [LibraryImport("libjemalloc.so.2", EntryPoint = "free")]
    private static partial void Release(nint p);
}
