using System.Runtime.InteropServices;

namespace ZfsLite.Bench.Kmem;

/// <summary>The framework's NativeMemory.</summary>
public unsafe struct NativeMemoryAllocator : IBenchAllocator<nint>
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
    public readonly nint Alloc(int size) => (nint)NativeMemory.Alloc((nuint)size);

    /// <inheritdoc/>
    public readonly void Free(nint obj, int size) => NativeMemory.Free((void*)obj);
}
