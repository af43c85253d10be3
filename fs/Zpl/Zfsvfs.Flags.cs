namespace ZfsLite.Fs;

/// <summary>
/// Immutable and append-only files: who tries to change one gets EPERM, root too. What a handle that was opened before still
/// writes is not refused, since it may come from the kernel's page cache.
/// </summary>
public sealed unsafe partial class Zfsvfs
{
    private const ZnodeFlags SettableFlags = ZnodeFlags.Immutable | ZnodeFlags.AppendOnly | ZnodeFlags.NoDump;

    private static ZnodeFlags FlagsOf(Znode z) => (ZnodeFlags)(uint)(z.Phys->Flags >> ZnodePhys.FlagsShift);

    private static bool IsImmutable(Znode z) => (FlagsOf(z) & ZnodeFlags.Immutable) != 0;

    /// <summary>Immutable or append-only.</summary>
    private static bool IsFixed(Znode z) => (FlagsOf(z) & (ZnodeFlags.Immutable | ZnodeFlags.AppendOnly)) != 0;

    /// <summary>May this name be taken from this directory? 0 or EPERM.</summary>
    private static int MayUnname(Znode dz, Znode z) =>
        IsFixed(dz) || IsFixed(z) || (FlagsOf(z) & ZnodeFlags.NoUnlink) != 0 ? Errno.EPERM : 0;

    /// <summary>
    /// May these attributes change? 0 or EPERM. Times of modification alone may: the kernel sends them for pages written before.
    /// </summary>
    private static int MayChange(Znode z, SetAttrMask mask)
    {
        const SetAttrMask Always = SetAttrMask.Mtime | SetAttrMask.MtimeNow | SetAttrMask.Ctime | SetAttrMask.KillSuidgid | SetAttrMask.Flags;
        SetAttrMask asked = mask & ~Always;
        return (asked != 0 && IsImmutable(z)) || ((asked & ~SetAttrMask.AtimeNow) != 0 && IsFixed(z)) ? Errno.EPERM : 0;
    }
}
