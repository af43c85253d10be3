using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A record of the intent log: the 32 bytes that all kinds begin with, and the fields of those that ZfsLite writes (format sheet §8.3).</summary>
[StructLayout(LayoutKind.Explicit)]
internal unsafe struct ZilRecord
{
    /// <summary>Bytes before the fields of the kind.</summary>
    internal const int HeaderSize = 32;

    /// <summary>Bytes before the name of a new file.</summary>
    internal const int CreateSize = 104;

    /// <summary>Bytes of REMOVE, RMDIR before the name.</summary>
    internal const int RemoveSize = 40;

    /// <summary>Bytes of LINK and RENAME before the name.</summary>
    internal const int LinkSize = 48;

    /// <summary>Bytes of WRITE before the data.</summary>
    internal const int WriteSize = 192;

    /// <summary>Bytes of TRUNCATE.</summary>
    internal const int TruncateSize = 56;

    /// <summary>Bytes of SETATTR.</summary>
    internal const int SetAttrSize = 112;

    /// <summary>Set in the kind if names match in any case.</summary>
    internal const ulong AnyCase = 1UL << 63;

    /// <summary>Which attributes a SETATTR gives (AT_*).</summary>
    internal const ulong MaskMode = 2, MaskUid = 4, MaskGid = 8, MaskSize = 0x80, MaskAtime = 0x100, MaskMtime = 0x200;

    /// <summary>Kind, a <see cref="ZilTx"/>.</summary>
    [FieldOffset(0)]
    internal ulong Type;

    /// <summary>Bytes of the record with all that follows, a multiple of 8.</summary>
    [FieldOffset(8)]
    internal ulong Length;

    /// <summary>Txg of the change.</summary>
    [FieldOffset(16)]
    internal ulong Txg;

    /// <summary>Number of the record in the log, rising.</summary>
    [FieldOffset(24)]
    internal ulong Seq;

    /// <summary>The kind's words, from byte 32 on.</summary>
    [FieldOffset(32)]
    internal fixed ulong Word[10];

    /// <summary>The block with a WRITE's data, if they are not in the record.</summary>
    [FieldOffset(64)]
    internal Blkptr WriteBlock;

    internal readonly ZilTx Kind => (ZilTx)(Type & ~AnyCase);

    /// <summary>Bytes of the fixed part of a kind; 0: not known here.</summary>
    internal static int FixedSize(ZilTx kind) => kind switch
    {
        ZilTx.Create or ZilTx.MakeDirectory or ZilTx.MakeXattr or ZilTx.Symlink => CreateSize,
        ZilTx.Remove or ZilTx.RemoveDirectory => RemoveSize,
        ZilTx.Link or ZilTx.Rename => LinkSize,
        ZilTx.Write or ZilTx.Write2 => WriteSize,
        ZilTx.Truncate => TruncateSize,
        ZilTx.SetAttr => SetAttrSize,
        _ => 0,
    };
}
