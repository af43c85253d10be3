using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A file's attributes on disk (znode_phys_t), 264 bytes of bonus; a short symlink's target follows.</summary>
[StructLayout(LayoutKind.Explicit, Size = SizeOf)]
public unsafe struct ZnodePhys
{
    /// <summary>Bytes on disk.</summary>
    public const int SizeOf = 264;

    /// <summary>Longest symlink target that fits in the bonus.</summary>
    public const int MaxInlineSymlink = DnodePhys.MaxBonus - SizeOf;

    /// <summary>Flag: belongs to an xattr directory (or is one).</summary>
    public const ulong FlagXattr = 1;

    /// <summary>Flag: the ACL says no more than the mode.</summary>
    public const ulong FlagAclTrivial = 4;

    /// <summary>Flag: an ACL with Solaris-type entries may be present, inheritance kept.</summary>
    public const ulong FlagAclAuto = 0x40;

    /// <summary>Flag: execute is granted to user, group and others.</summary>
    public const ulong FlagNoExecsDenied = 0x100;

    /// <summary>Flag: archive bit, set on new files.</summary>
    public const ulong FlagArchive = 0x8_0000_0000;

    /// <summary>From this bit on <see cref="Flags"/> holds what users can set.</summary>
    public const int FlagsShift = 32;

    /// <summary>Time of last access: seconds, nanoseconds.</summary>
    [FieldOffset(0)]
    public long AtimeSeconds;

    /// <summary>See above.</summary>
    [FieldOffset(8)]
    public long AtimeNanoseconds;

    /// <summary>Time of last change of contents.</summary>
    [FieldOffset(16)]
    public long MtimeSeconds;

    /// <summary>See above.</summary>
    [FieldOffset(24)]
    public long MtimeNanoseconds;

    /// <summary>Time of last change of attributes.</summary>
    [FieldOffset(32)]
    public long CtimeSeconds;

    /// <summary>See above.</summary>
    [FieldOffset(40)]
    public long CtimeNanoseconds;

    /// <summary>Time of creation.</summary>
    [FieldOffset(48)]
    public long CrtimeSeconds;

    /// <summary>See above.</summary>
    [FieldOffset(56)]
    public long CrtimeNanoseconds;

    /// <summary>Txg of creation: tells apart files that got the same object number one after the other.</summary>
    [FieldOffset(64)]
    public ulong Generation;

    /// <summary>st_mode.</summary>
    [FieldOffset(72)]
    public ulong Mode;

    /// <summary>Bytes of a file or symlink; entries + 2 of a directory.</summary>
    [FieldOffset(80)]
    public ulong Size;

    /// <summary>A directory that holds it; the root's is itself.</summary>
    [FieldOffset(88)]
    public ulong Parent;

    /// <summary>Number of links.</summary>
    [FieldOffset(96)]
    public ulong Links;

    /// <summary>Its xattr directory, or 0.</summary>
    [FieldOffset(104)]
    public ulong Xattr;

    /// <summary>Device number of a device node.</summary>
    [FieldOffset(112)]
    public ulong Rdev;

    /// <summary>Flags.</summary>
    [FieldOffset(120)]
    public ulong Flags;

    /// <summary>Owner.</summary>
    [FieldOffset(128)]
    public ulong Uid;

    /// <summary>Group.</summary>
    [FieldOffset(136)]
    public ulong Gid;

    /// <summary>Always 0.</summary>
    [FieldOffset(144)]
    public ulong Zap;

    /// <summary>Object of an ACL too large for the bonus; 0 otherwise.</summary>
    [FieldOffset(176)]
    public ulong AclExternObject;

    /// <summary>Bytes of ACL entries.</summary>
    [FieldOffset(184)]
    public uint AclSize;

    /// <summary>1: the current form.</summary>
    [FieldOffset(188)]
    public ushort AclVersion;

    /// <summary>Number of ACL entries.</summary>
    [FieldOffset(190)]
    public ushort AclCount;

    /// <summary>The entries.</summary>
    [FieldOffset(192)]
    public fixed byte AclData[72];
}
