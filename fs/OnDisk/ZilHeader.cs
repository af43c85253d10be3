using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>Head of an intent log (zil_header_t), 192 bytes at byte 512 of the object set. Clean: all zero, or an empty first block.</summary>
[StructLayout(LayoutKind.Explicit, Size = SizeOf)]
public struct ZilHeader
{
    /// <summary>Bytes on disk.</summary>
    public const int SizeOf = 192;

    /// <summary>Flag: records are to be replayed.</summary>
    public const ulong FlagReplayNeeded = 1;

    /// <summary>Flag: <see cref="ClaimRecordSeq"/> is valid.</summary>
    public const ulong FlagClaimRecordSeqValid = 2;

    /// <summary>Txg in which the log's blocks were claimed; 0: unclaimed.</summary>
    [FieldOffset(0)]
    public ulong ClaimTxg;

    /// <summary>Highest sequence number replayed.</summary>
    [FieldOffset(8)]
    public ulong ReplaySeq;

    /// <summary>First block of the chain, or a hole.</summary>
    [FieldOffset(16)]
    public Blkptr Log;

    /// <summary>Sequence number of the last claimed block.</summary>
    [FieldOffset(144)]
    public ulong ClaimBlockSeq;

    /// <summary>Flags.</summary>
    [FieldOffset(152)]
    public ulong Flags;

    /// <summary>Sequence number of the last claimed record.</summary>
    [FieldOffset(160)]
    public ulong ClaimRecordSeq;
}
