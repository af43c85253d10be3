using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>Head of a list of block pointers (bplist_phys_t), 32 bytes of bonus; the data are block pointers one after the other.</summary>
[StructLayout(LayoutKind.Explicit, Size = SizeOf)]
public struct BplistPhys
{
    /// <summary>Bytes on disk.</summary>
    public const int SizeOf = 32;

    /// <summary>Number of entries.</summary>
    [FieldOffset(0)]
    public ulong Entries;

    /// <summary>Sum of allocated sizes.</summary>
    [FieldOffset(8)]
    public ulong Bytes;

    /// <summary>Sum of stored sizes.</summary>
    [FieldOffset(16)]
    public ulong Compressed;

    /// <summary>Sum of uncompressed sizes, as accounting counts them.</summary>
    [FieldOffset(24)]
    public ulong Uncompressed;
}
