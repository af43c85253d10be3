namespace ZfsLite.Fs;

/// <summary>A held block of a ZAP.</summary>
internal unsafe struct ZapBlock
{
    internal readonly object? Handle;
    internal byte* Data;
    internal readonly int Size;

    internal ZapBlock(object handle, byte* data, int size)
    {
        Handle = handle;
        Data = data;
        Size = size;
    }

    /// <summary>First word: which kind of block it is.</summary>
    internal readonly ulong Kind => *(ulong*)Data;
}
