namespace ZfsLite.Fs;

/// <summary>An entry chunk of a leaf, as read from disk.</summary>
internal readonly unsafe struct ZapLeafEntry
{
    internal ZapLeafEntry(byte* p)
    {
        IntSize = p[1];
        Next = *(ushort*)(p + 2);
        NameChunk = *(ushort*)(p + 4);
        NameLength = *(ushort*)(p + 6);
        ValueChunk = *(ushort*)(p + 8);
        IntCount = *(ushort*)(p + 10);
        Cd = *(uint*)(p + 12);
        Hash = *(ulong*)(p + 16);
    }

    /// <summary>Bytes of one integer of the value.</summary>
    internal int IntSize { get; }

    /// <summary>Integers of the value.</summary>
    internal int IntCount { get; }

    /// <summary>Next entry of the chain.</summary>
    internal ushort Next { get; }

    /// <summary>First chunk of the name.</summary>
    internal int NameChunk { get; }

    /// <summary>Bytes of the name with its NUL.</summary>
    internal int NameLength { get; }

    /// <summary>First chunk of the value.</summary>
    internal int ValueChunk { get; }

    /// <summary>Tells names of equal hash apart.</summary>
    internal uint Cd { get; }

    /// <summary>Hash of the name.</summary>
    internal ulong Hash { get; }
}
