namespace ZfsLite.Fs;

/// <summary>
/// Constants of the two ZAP forms: the micro ZAP (one block of 64-byte entries) and the fat ZAP (header with a pointer table,
/// leaves of chained 24-byte chunks). All offsets in bytes.
/// </summary>
public static class ZapPhys
{
#pragma warning disable CS1591 // Names of the format.
    public const ulong MicroMagic = 0x8000000000000003, HeaderMagic = 0x8000000000000001, LeafBlockMagic = 0x8000000000000000;
    public const ulong FatMagic = 0x2F52AB2AB;
    public const uint LeafMagic = 0x2AB1EAF;

    // Micro: 64-byte header, then entries.
    public const int MicroSalt = 8, MicroNormFlags = 16, MicroHeaderSize = 64, MicroEntrySize = 64;
    public const int MicroEntryValue = 0, MicroEntryCd = 8, MicroEntryName = 14, MicroNameSize = 50;

    // Fat header, block 0.
    public const int FatTableBlock = 16, FatTableBlocks = 24, FatTableShift = 32, FatTableNext = 40, FatTableCopied = 48;
    public const int FatFreeBlock = 56, FatLeafCount = 64, FatEntryCount = 72, FatSalt = 80, FatNormFlags = 88, FatFlags = 96;

    // Leaf block.
    public const int LeafPrefix = 16, LeafMagicOffset = 24, LeafFree = 28, LeafEntries = 30, LeafPrefixLength = 32;
    public const int LeafFreeList = 34, LeafFlags = 36, LeafHash = 48, LeafChunkSize = 24;
    public const byte LeafFlagSorted = 1;
    public const ushort ChainEnd = 0xffff;

    // Chunks.
    public const byte ChunkArray = 251, ChunkEntry = 252, ChunkFree = 253;
    public const int ChunkArrayBytes = 21, ChunkArrayNext = 22;
    public const int EntryIntLength = 1, EntryNext = 2, EntryNameChunk = 4, EntryNameLength = 6, EntryValueChunk = 8;
    public const int EntryValueCount = 10, EntryCd = 12, EntryHash = 16;

    /// <summary>Normalisation: upper case.</summary>
    public const ulong NormToUpper = 2;

    /// <summary>Longest name in a micro ZAP.</summary>
    public const int MicroNameMax = 49;

    /// <summary>Block size of a fat ZAP made by growing a micro one.</summary>
    public const int FatBlockSize = 16384;

    /// <summary>Largest micro ZAP.</summary>
    public const int MicroMaxSize = 131072;
#pragma warning restore CS1591

    /// <summary>Hash buckets of a leaf.</summary>
    public static int LeafHashCount(int blockSize) => blockSize / 32;

    /// <summary>Chunks of a leaf.</summary>
    public static int LeafChunkCount(int blockSize) => ((blockSize - (2 * LeafHashCount(blockSize))) / LeafChunkSize) - 2;

    /// <summary>Where chunk <paramref name="i"/> begins.</summary>
    public static int LeafChunkOffset(int blockSize, int i) => LeafHash + (2 * LeafHashCount(blockSize)) + (i * LeafChunkSize);
}
