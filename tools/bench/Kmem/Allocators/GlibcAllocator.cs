using System.Runtime.InteropServices;

namespace ZfsLite.Bench.Kmem;

/// <summary>malloc and free of the C library.</summary>
public unsafe partial struct GlibcAllocator : IBenchAllocator<nint>
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

    [LibraryImport("libc", EntryPoint = "malloc")]
    private static partial nint Malloc(nuint size);

    [LibraryImport("libc", EntryPoint = "free")]
    private static partial void Release(nint p);
}
