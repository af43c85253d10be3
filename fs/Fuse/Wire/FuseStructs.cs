using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

// The structures of the /dev/fuse protocol, version 7.45, in the machine's own byte order. FuseStructTests holds the size
// and the offset of every field. Source of the layout: the kernel's user-space interface.

/// <summary>Head of every request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
public struct FuseInHeader
{
    /// <summary>Length of the whole message.</summary>
    [FieldOffset(0)] public uint Length;

    /// <summary>What is asked for.</summary>
    [FieldOffset(4)] public FuseOpcode Opcode;

    /// <summary>Names the request; the reply carries it too.</summary>
    [FieldOffset(8)] public ulong Unique;

    /// <summary>The node asked about; 1 is the root.</summary>
    [FieldOffset(16)] public ulong NodeId;

    /// <summary>Who asks.</summary>
    [FieldOffset(24)] public uint Uid;

    /// <summary>Who asks.</summary>
    [FieldOffset(28)] public uint Gid;

    /// <summary>Who asks.</summary>
    [FieldOffset(32)] public uint Pid;

    /// <summary>Length of the extensions at the end, in units of 8 bytes.</summary>
    [FieldOffset(36)] public ushort ExtensionLength;
}

[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct FuseOutHeader
{
    [FieldOffset(0)] public uint Length;
    [FieldOffset(4)] public int Error;
    [FieldOffset(8)] public ulong Unique;
}

[StructLayout(LayoutKind.Explicit, Size = 64)]
internal struct FuseInitIn
{
    [FieldOffset(0)] public uint Major;
    [FieldOffset(4)] public uint Minor;
    [FieldOffset(8)] public uint MaxReadahead;
    [FieldOffset(12)] public uint Flags;
    [FieldOffset(16)] public uint Flags2;
}

[StructLayout(LayoutKind.Explicit, Size = 64)]
internal struct FuseInitOut
{
    [FieldOffset(0)] public uint Major;
    [FieldOffset(4)] public uint Minor;
    [FieldOffset(8)] public uint MaxReadahead;
    [FieldOffset(12)] public uint Flags;
    [FieldOffset(16)] public ushort MaxBackground;
    [FieldOffset(18)] public ushort CongestionThreshold;
    [FieldOffset(20)] public uint MaxWrite;
    [FieldOffset(24)] public uint TimeGranularity;
    [FieldOffset(28)] public ushort MaxPages;
    [FieldOffset(30)] public ushort MapAlignment;
    [FieldOffset(32)] public uint Flags2;
}

[StructLayout(LayoutKind.Explicit, Size = 88)]
internal struct FuseAttr
{
    [FieldOffset(0)] public ulong Ino;
    [FieldOffset(8)] public ulong Size;
    [FieldOffset(16)] public ulong Blocks;
    [FieldOffset(24)] public long Atime;
    [FieldOffset(32)] public long Mtime;
    [FieldOffset(40)] public long Ctime;
    [FieldOffset(48)] public uint AtimeNsec;
    [FieldOffset(52)] public uint MtimeNsec;
    [FieldOffset(56)] public uint CtimeNsec;
    [FieldOffset(60)] public uint Mode;
    [FieldOffset(64)] public uint Links;
    [FieldOffset(68)] public uint Uid;
    [FieldOffset(72)] public uint Gid;
    [FieldOffset(76)] public uint Rdev;
    [FieldOffset(80)] public uint BlockSize;
    [FieldOffset(84)] public uint Flags;
}

[StructLayout(LayoutKind.Explicit, Size = 128)]
internal struct FuseEntryOut
{
    [FieldOffset(0)] public ulong NodeId;
    [FieldOffset(8)] public ulong Generation;
    [FieldOffset(16)] public ulong EntryValid;
    [FieldOffset(24)] public ulong AttrValid;
    [FieldOffset(32)] public uint EntryValidNsec;
    [FieldOffset(36)] public uint AttrValidNsec;
    [FieldOffset(40)] public FuseAttr Attr;
}

[StructLayout(LayoutKind.Explicit, Size = 104)]
internal struct FuseAttrOut
{
    [FieldOffset(0)] public ulong AttrValid;
    [FieldOffset(8)] public uint AttrValidNsec;
    [FieldOffset(16)] public FuseAttr Attr;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseBatchForgetIn
{
    [FieldOffset(0)] public uint Count;
}

[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct FuseForgetOne
{
    [FieldOffset(0)] public ulong NodeId;
    [FieldOffset(8)] public ulong Lookups;
}

[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct FuseMknodIn
{
    [FieldOffset(0)] public uint Mode;
    [FieldOffset(4)] public uint Rdev;
    [FieldOffset(8)] public uint Umask;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseMkdirIn
{
    [FieldOffset(0)] public uint Mode;
    [FieldOffset(4)] public uint Umask;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseRenameIn
{
    [FieldOffset(0)] public ulong NewDir;
}

[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct FuseRename2In
{
    [FieldOffset(0)] public ulong NewDir;
    [FieldOffset(8)] public uint Flags;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseLinkIn
{
    [FieldOffset(0)] public ulong OldNodeId;
}

[StructLayout(LayoutKind.Explicit, Size = 88)]
internal struct FuseSetAttrIn
{
    [FieldOffset(0)] public uint Valid;
    [FieldOffset(8)] public ulong Handle;
    [FieldOffset(16)] public ulong Size;
    [FieldOffset(24)] public ulong LockOwner;
    [FieldOffset(32)] public long Atime;
    [FieldOffset(40)] public long Mtime;
    [FieldOffset(48)] public long Ctime;
    [FieldOffset(56)] public uint AtimeNsec;
    [FieldOffset(60)] public uint MtimeNsec;
    [FieldOffset(64)] public uint CtimeNsec;
    [FieldOffset(68)] public uint Mode;
    [FieldOffset(76)] public uint Uid;
    [FieldOffset(80)] public uint Gid;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseOpenIn
{
    [FieldOffset(0)] public uint Flags;
    [FieldOffset(4)] public uint OpenFlags;
}

[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct FuseCreateIn
{
    [FieldOffset(0)] public uint Flags;
    [FieldOffset(4)] public uint Mode;
    [FieldOffset(8)] public uint Umask;
    [FieldOffset(12)] public uint OpenFlags;
}

[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct FuseOpenOut
{
    [FieldOffset(0)] public ulong Handle;
    [FieldOffset(8)] public uint OpenFlags;
}

[StructLayout(LayoutKind.Explicit, Size = 24)]
internal struct FuseReleaseIn
{
    [FieldOffset(0)] public ulong Handle;
    [FieldOffset(8)] public uint Flags;
    [FieldOffset(12)] public uint ReleaseFlags;
    [FieldOffset(16)] public ulong LockOwner;
}

[StructLayout(LayoutKind.Explicit, Size = 40)]
internal struct FuseReadIn
{
    [FieldOffset(0)] public ulong Handle;
    [FieldOffset(8)] public ulong Offset;
    [FieldOffset(16)] public uint Size;
    [FieldOffset(20)] public uint ReadFlags;
    [FieldOffset(24)] public ulong LockOwner;
    [FieldOffset(32)] public uint Flags;
}

[StructLayout(LayoutKind.Explicit, Size = 40)]
internal struct FuseWriteIn
{
    [FieldOffset(0)] public ulong Handle;
    [FieldOffset(8)] public ulong Offset;
    [FieldOffset(16)] public uint Size;
    [FieldOffset(20)] public uint WriteFlags;
    [FieldOffset(24)] public ulong LockOwner;
    [FieldOffset(32)] public uint Flags;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseWriteOut
{
    [FieldOffset(0)] public uint Size;
}

[StructLayout(LayoutKind.Explicit, Size = 80)]
internal struct FuseStatFsOut
{
    [FieldOffset(0)] public ulong Blocks;
    [FieldOffset(8)] public ulong BlocksFree;
    [FieldOffset(16)] public ulong BlocksAvailable;
    [FieldOffset(24)] public ulong Files;
    [FieldOffset(32)] public ulong FilesFree;
    [FieldOffset(40)] public uint BlockSize;
    [FieldOffset(44)] public uint NameLength;
    [FieldOffset(48)] public uint FragmentSize;
}

[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct FuseFsyncIn
{
    [FieldOffset(0)] public ulong Handle;
    [FieldOffset(8)] public uint FsyncFlags;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseSetXattrIn
{
    [FieldOffset(0)] public uint Size;
    [FieldOffset(4)] public uint Flags;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseGetXattrIn
{
    [FieldOffset(0)] public uint Size;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseGetXattrOut
{
    [FieldOffset(0)] public uint Size;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseInterruptIn
{
    [FieldOffset(0)] public ulong Unique;
}

[StructLayout(LayoutKind.Explicit, Size = 32)]
internal struct FuseFallocateIn
{
    [FieldOffset(0)] public ulong Handle;
    [FieldOffset(8)] public ulong Offset;
    [FieldOffset(16)] public ulong Length;
    [FieldOffset(24)] public uint Mode;
}

[StructLayout(LayoutKind.Explicit, Size = 24)]
internal struct FuseLseekIn
{
    [FieldOffset(0)] public ulong Handle;
    [FieldOffset(8)] public ulong Offset;
    [FieldOffset(16)] public uint Whence;
}

[StructLayout(LayoutKind.Explicit, Size = 8)]
internal struct FuseLseekOut
{
    [FieldOffset(0)] public ulong Offset;
}

[StructLayout(LayoutKind.Explicit, Size = 32)]
internal struct FuseIoctlIn
{
    [FieldOffset(0)] public ulong Handle;
    [FieldOffset(8)] public uint Flags;
    [FieldOffset(12)] public uint Command;
    [FieldOffset(16)] public ulong Argument;
    [FieldOffset(24)] public uint InSize;
    [FieldOffset(28)] public uint OutSize;
}

[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct FuseIoctlOut
{
    [FieldOffset(0)] public int Result;
    [FieldOffset(4)] public uint Flags;
    [FieldOffset(8)] public uint InPieces;
    [FieldOffset(12)] public uint OutPieces;
}

[StructLayout(LayoutKind.Explicit, Size = 24)]
internal struct FuseStatxIn
{
    [FieldOffset(0)] public uint GetAttrFlags;
    [FieldOffset(8)] public ulong Handle;
    [FieldOffset(16)] public uint StatxFlags;
    [FieldOffset(20)] public uint StatxMask;
}

[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct FuseStatxTime
{
    [FieldOffset(0)] public long Seconds;
    [FieldOffset(8)] public uint Nanoseconds;
}

[StructLayout(LayoutKind.Explicit, Size = 288)]
internal struct FuseStatxOut
{
    [FieldOffset(0)] public ulong AttrValid;
    [FieldOffset(8)] public uint AttrValidNsec;
    [FieldOffset(12)] public uint Flags;
    [FieldOffset(32)] public uint Mask;
    [FieldOffset(36)] public uint BlockSize;
    [FieldOffset(40)] public ulong Attributes;
    [FieldOffset(48)] public uint Links;
    [FieldOffset(52)] public uint Uid;
    [FieldOffset(56)] public uint Gid;
    [FieldOffset(60)] public ushort Mode;
    [FieldOffset(64)] public ulong Ino;
    [FieldOffset(72)] public ulong Size;
    [FieldOffset(80)] public ulong Blocks;
    [FieldOffset(88)] public ulong AttributesMask;
    [FieldOffset(96)] public FuseStatxTime Atime;
    [FieldOffset(112)] public FuseStatxTime Btime;
    [FieldOffset(128)] public FuseStatxTime Ctime;
    [FieldOffset(144)] public FuseStatxTime Mtime;
    [FieldOffset(160)] public uint RdevMajor;
    [FieldOffset(164)] public uint RdevMinor;
}

[StructLayout(LayoutKind.Explicit, Size = 56)]
internal struct FuseCopyFileRangeIn
{
    [FieldOffset(0)] public ulong HandleIn;
    [FieldOffset(8)] public ulong OffsetIn;
    [FieldOffset(16)] public ulong NodeIdOut;
    [FieldOffset(24)] public ulong HandleOut;
    [FieldOffset(32)] public ulong OffsetOut;
    [FieldOffset(40)] public ulong Length;
    [FieldOffset(48)] public ulong Flags;
}

/// <summary>A directory entry, followed by its name and padded to 8 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
internal struct FuseDirent
{
    [FieldOffset(0)] public ulong Ino;
    [FieldOffset(8)] public ulong NextOffset;
    [FieldOffset(16)] public uint NameLength;
    [FieldOffset(20)] public uint Type;
}
