using System.Runtime.InteropServices;

namespace ZfsLite.Bench.Kmem;

/// <summary>Two calls of a C function that does next to nothing: what P/Invoke itself costs the native peers.</summary>
public partial struct NothingAllocator : IBenchAllocator<nint>
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
    public readonly nint Alloc(int size) => Abs(size);

    /// <inheritdoc/>
    public readonly void Free(nint obj, int size) => Abs((int)obj);

    [LibraryImport("libc", EntryPoint = "abs")]
    private static partial int Abs(int n);
}
