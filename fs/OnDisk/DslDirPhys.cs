using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A DSL directory on disk (dsl_dir_phys_t), 256 bytes of bonus.</summary>
[StructLayout(LayoutKind.Explicit, Size = SizeOf)]
public unsafe struct DslDirPhys
{
    /// <summary>Bytes on disk.</summary>
    public const int SizeOf = 256;

    /// <summary>Flag: <see cref="UsedBreakdown"/> is kept; always set.</summary>
    public const ulong FlagUsedBreakdown = 1;

    /// <summary>Index in the breakdown: the head.</summary>
    public const int UsedHead = 0;

    /// <summary>Index in the breakdown: snapshots.</summary>
    public const int UsedSnap = 1;

    /// <summary>Index in the breakdown: children.</summary>
    public const int UsedChild = 2;

    /// <summary>Index in the breakdown: what children have reserved and not used.</summary>
    public const int UsedChildReserved = 3;

    /// <summary>Index in the breakdown: refreservation.</summary>
    public const int UsedRefReserved = 4;

    /// <summary>Unix seconds.</summary>
    [FieldOffset(0)]
    public ulong CreationTime;

    /// <summary>The dataset that is mounted; 0 in $MOS.</summary>
    [FieldOffset(8)]
    public ulong HeadDataset;

    /// <summary>Parent directory; 0 at the root.</summary>
    [FieldOffset(16)]
    public ulong Parent;

    /// <summary>Snapshot it was cloned from.</summary>
    [FieldOffset(24)]
    public ulong Origin;

    /// <summary>ZAP of children.</summary>
    [FieldOffset(32)]
    public ulong ChildDirZap;

    /// <summary>Bytes used: the sum of the breakdown.</summary>
    [FieldOffset(40)]
    public ulong UsedBytes;

    /// <summary>Stored bytes of one copy, children included.</summary>
    [FieldOffset(48)]
    public ulong CompressedBytes;

    /// <summary>Logical bytes, children included.</summary>
    [FieldOffset(56)]
    public ulong UncompressedBytes;

    /// <summary>Quota, bytes; 0: none.</summary>
    [FieldOffset(64)]
    public ulong Quota;

    /// <summary>Reservation, bytes.</summary>
    [FieldOffset(72)]
    public ulong Reserved;

    /// <summary>ZAP of properties.</summary>
    [FieldOffset(80)]
    public ulong PropsZap;

    /// <summary>ZAP of delegated permissions.</summary>
    [FieldOffset(88)]
    public ulong DelegZap;

    /// <summary>Flags.</summary>
    [FieldOffset(96)]
    public ulong Flags;

    /// <summary>Where the used bytes are.</summary>
    [FieldOffset(104)]
    public fixed ulong UsedBreakdown[5];
}
