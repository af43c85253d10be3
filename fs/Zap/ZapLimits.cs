namespace ZfsLite.Fs;

/// <summary>Sizes and magic numbers of the ZAP format (format sheet §4).</summary>
internal static class ZapLimits
{
    /// <summary>First word of a micro ZAP.</summary>
    internal const ulong MicroType = ZapPhys.MicroMagic;

    /// <summary>First word of the header block of a fat ZAP.</summary>
    internal const ulong HeaderType = ZapPhys.HeaderMagic;

    /// <summary>First word of a leaf block.</summary>
    internal const ulong LeafType = ZapPhys.LeafBlockMagic;

    /// <summary>Second word of the header of a fat ZAP.</summary>
    internal const ulong FatMagic = ZapPhys.FatMagic;

    /// <summary>Magic of a leaf.</summary>
    internal const uint LeafMagic = ZapPhys.LeafMagic;

    /// <summary>Longest name, bytes, without its NUL.</summary>
    internal const int NameMax = 255;

    /// <summary>Longest name of a micro ZAP.</summary>
    internal const int MicroNameMax = ZapPhys.MicroNameMax;

    /// <summary>Largest micro ZAP block.</summary>
    internal const int MicroBlockMax = ZapPhys.MicroMaxSize;

    /// <summary>A micro ZAP starts at, and grows by, this many bytes.</summary>
    internal const int MicroBlockStep = 512;

    /// <summary>Header and each entry of a micro ZAP.</summary>
    internal const int MicroEntrySize = ZapPhys.MicroEntrySize;

    /// <summary>Block size of a new fat ZAP.</summary>
    internal const int FatBlockSize = ZapPhys.FatBlockSize;

    /// <summary>Room for a normalised name: upper-casing may lengthen UTF-8 by half.</summary>
    internal const int NormalizedMax = 768;

    /// <summary>Entries of a micro ZAP block of <paramref name="blockSize"/> bytes.</summary>
    internal static int MicroSlots(int blockSize) => (blockSize / MicroEntrySize) - 1;
}
