using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>
/// The part of a znode that lies in the arena, an object of zfs_znode_cache. Its size stands for the whole of the znode, the
/// managed object with its locks included, so that the cache shows what znodes cost.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = 640)]
internal struct ZnodeMemory
{
    /// <summary>Access time as the user sees it.</summary>
    internal long AtimeSeconds;

    /// <summary>See above.</summary>
    internal long AtimeNanoseconds;

    /// <summary>Nonzero: later than the one in the bonus.</summary>
    internal int AtimeDirty;
}
