using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>An object set on disk (objset_phys_t), 2048 bytes (1024 before user accounting).</summary>
[StructLayout(LayoutKind.Explicit, Size = SizeOf)]
public struct ObjsetPhys
{
    /// <summary>Bytes on disk.</summary>
    public const int SizeOf = 2048;

    /// <summary>Bytes of the old form, without accounting dnodes.</summary>
    public const int OldSizeOf = 1024;

    /// <summary>Value of <see cref="Type"/>: the MOS.</summary>
    public const ulong TypeMeta = 1;

    /// <summary>Value of <see cref="Type"/>: a file system.</summary>
    public const ulong TypeZfs = 2;

    /// <summary>Value of <see cref="Type"/>: a volume.</summary>
    public const ulong TypeZvol = 3;

    /// <summary>Flag: the user and group accounts are complete.</summary>
    public const ulong FlagUserAccountingComplete = 1;

    /// <summary>The dnode whose data are the dnodes of the set.</summary>
    [FieldOffset(0)]
    public DnodePhys MetaDnode;

    /// <summary>Head of the intent log.</summary>
    [FieldOffset(512)]
    public ZilHeader ZilHeader;

    /// <summary>Kind of set.</summary>
    [FieldOffset(704)]
    public ulong Type;

    /// <summary>Flags.</summary>
    [FieldOffset(712)]
    public ulong Flags;

    /// <summary>Space per user: a ZAP of type UsergroupUsed.</summary>
    [FieldOffset(1024)]
    public DnodePhys UserUsedDnode;

    /// <summary>Space per group.</summary>
    [FieldOffset(1536)]
    public DnodePhys GroupUsedDnode;
}
