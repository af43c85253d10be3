using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A DSL dataset on disk (dsl_dataset_phys_t), 320 bytes of bonus: a head or a snapshot.</summary>
[StructLayout(LayoutKind.Explicit, Size = SizeOf)]
public struct DslDatasetPhys
{
    /// <summary>Bytes on disk.</summary>
    public const int SizeOf = 320;

    /// <summary>Flag: a receive did not finish.</summary>
    public const ulong FlagInconsistent = 1;

    /// <summary>Flag: <see cref="UniqueBytes"/> is right; always set.</summary>
    public const ulong FlagUniqueAccurate = 4;

    /// <summary>Flag: names are folded.</summary>
    public const ulong FlagCaseInsensitive = 0x10000;

    /// <summary>Directory it belongs to.</summary>
    [FieldOffset(0)]
    public ulong DirObject;

    /// <summary>Previous snapshot.</summary>
    [FieldOffset(8)]
    public ulong PrevSnapObject;

    /// <summary>Txg of the previous snapshot.</summary>
    [FieldOffset(16)]
    public ulong PrevSnapTxg;

    /// <summary>Next snapshot or head; 0 in a head.</summary>
    [FieldOffset(24)]
    public ulong NextSnapObject;

    /// <summary>ZAP of snapshot names; 0 in a snapshot.</summary>
    [FieldOffset(32)]
    public ulong SnapNamesZap;

    /// <summary>Clones plus next.</summary>
    [FieldOffset(40)]
    public ulong ChildCount;

    /// <summary>Unix seconds.</summary>
    [FieldOffset(48)]
    public ulong CreationTime;

    /// <summary>Txg of creation.</summary>
    [FieldOffset(56)]
    public ulong CreationTxg;

    /// <summary>Bplist of blocks that the previous snapshot has and this one has not.</summary>
    [FieldOffset(64)]
    public ulong DeadlistObject;

    /// <summary>Bytes reachable.</summary>
    [FieldOffset(72)]
    public ulong UsedBytes;

    /// <summary>Stored bytes of one copy.</summary>
    [FieldOffset(80)]
    public ulong CompressedBytes;

    /// <summary>Logical bytes.</summary>
    [FieldOffset(88)]
    public ulong UncompressedBytes;

    /// <summary>Bytes that only this dataset reaches.</summary>
    [FieldOffset(96)]
    public ulong UniqueBytes;

    /// <summary>56-bit id.</summary>
    [FieldOffset(104)]
    public ulong FsidGuid;

    /// <summary>64-bit id.</summary>
    [FieldOffset(112)]
    public ulong Guid;

    /// <summary>Flags.</summary>
    [FieldOffset(120)]
    public ulong Flags;

    /// <summary>The object set.</summary>
    [FieldOffset(128)]
    public Blkptr Bp;

    /// <summary>ZAP of clones of a snapshot.</summary>
    [FieldOffset(256)]
    public ulong NextClonesObject;

    /// <summary>ZAP of a snapshot's properties.</summary>
    [FieldOffset(264)]
    public ulong PropsObject;

    /// <summary>ZAP of holds on a snapshot.</summary>
    [FieldOffset(272)]
    public ulong UserRefsObject;
}
