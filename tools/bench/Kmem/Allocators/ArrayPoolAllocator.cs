using System.Buffers;

namespace ZfsLite.Bench.Kmem;

/// <summary>The framework's shared ArrayPool of bytes: managed arrays, rented and returned.</summary>
public struct ArrayPoolAllocator : IBenchAllocator<byte[]>
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
    public readonly byte[] Alloc(int size) => ArrayPool<byte>.Shared.Rent(size);

    /// <inheritdoc/>
    public readonly void Free(byte[] obj, int size) => ArrayPool<byte>.Shared.Return(obj);
}
