namespace ZfsLite.Fs;

/// <summary>Sizes and magic numbers of the ZAP format (format sheet §4).</summary>
internal static class ZapLimits
{
    /// <summary>First word of a micro ZAP.</summary>
    internal const ulong MicroType = 0x8000000000000003;

    /// <summary>First word of the header block of a fat ZAP.</summary>
    internal const ulong HeaderType = 0x8000000000000001;

    /// <summary>First word of a leaf block.</summary>
    internal const ulong LeafType = 0x8000000000000000;

    /// <summary>Second word of the header of a fat ZAP.</summary>
    internal const ulong FatMagic = 0x2F52AB2AB;

    /// <summary>Magic of a leaf.</summary>
    internal const uint LeafMagic = 0x2AB1EAF;

    /// <summary>Longest name, bytes, without its NUL.</summary>
    internal const int NameMax = 255;

    /// <summary>Longest name of a micro ZAP.</summary>
    internal const int MicroNameMax = 49;

    /// <summary>Largest micro ZAP block.</summary>
    internal const int MicroBlockMax = 128 * 1024;

    /// <summary>A micro ZAP starts at, and grows by, this many bytes.</summary>
    internal const int MicroBlockStep = 512;

    /// <summary>Header and each entry of a micro ZAP.</summary>
    internal const int MicroEntrySize = 64;

    /// <summary>Block size of a new fat ZAP.</summary>
    internal const int FatBlockSize = 16 * 1024;

    /// <summary>Room for a normalised name: upper-casing may lengthen UTF-8 by half.</summary>
    internal const int NormalizedMax = 768;

    /// <summary>Entries of a micro ZAP block of <paramref name="blockSize"/> bytes.</summary>
    internal static int MicroSlots(int blockSize) => (blockSize / MicroEntrySize) - 1;
}
