namespace ZfsLite.Bench.Kmem;

/// <summary>Does nothing: what the benchmark itself costs.</summary>
public struct IdleAllocator : IBenchAllocator<nint>
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
    public readonly nint Alloc(int size) => size;

    /// <inheritdoc/>
    public readonly void Free(nint obj, int size)
    {
    }
}
