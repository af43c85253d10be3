using System.Runtime.InteropServices;

namespace ZfsLite.Bench.Kmem;

/// <summary>mi_malloc and mi_free (Debian's libmimalloc2.0).</summary>
public unsafe partial struct MimallocAllocator : IBenchAllocator<nint>
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

    [LibraryImport("libmimalloc.so.2", EntryPoint = "mi_malloc")]
    private static partial nint Malloc(nuint size);

    [LibraryImport("libmimalloc.so.2", EntryPoint = "mi_free")]
    private static partial void Release(nint p);
}
