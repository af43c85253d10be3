using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// A file in memory (znode_t): its held dnode, its locks, its access time. The attributes themselves are the dnode's bonus.
/// Pooled by <see cref="ZnodeCache"/>; each one in use is charged to zfs_znode_cache by an object there, which holds what is
/// in memory only.
/// </summary>
internal sealed unsafe class Znode : IWaitable
{
    /// <inheritdoc/>
    public string WaitName => $"znode {Object} to be read in";

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        if (Loader is { } loader)
        {
            owners.Add(loader);
        }
    }

    /// <summary>z_lock: the attributes (bonus, in-memory access time). Held for moments; nothing is waited for under it.</summary>
    internal readonly Kmutex Lock = new("z_lock");

    /// <summary>The names in a directory; the extended attributes of anything. See the essay in Zfsvfs.</summary>
    internal readonly Krwlock NameLock = new("z_name_lock");

    /// <summary>The data of a file.</summary>
    internal readonly RangeLock Range = new();

    // Guarded by the cache's mutex:
    internal ZnodeState State;
    internal int References;
    internal int Opens;
    internal bool InHash;
    internal ZnodeList On;
    internal bool OnDirtyList;
    internal Znode? HashNext;
    internal Znode? ListNext;
    internal Znode? ListPrevious;
    internal Znode? DirtyNext;
    internal Znode? DirtyPrevious;
    internal Kthread? Loader;

    internal ulong Object;

    /// <summary>The held dnode; null unless Ready or Dead.</summary>
    internal Dnode? Dnode;

    /// <summary>In memory only: access time and whether it differs from the bonus. Guarded by <see cref="Lock"/>.</summary>
    internal ZnodeMemory* Memory;

    /// <summary>Links are 0: the object goes with the last reference. Guarded by <see cref="Lock"/>.</summary>
    internal bool Unlinked;

    /// <summary>It was made without a name and may get one, once. Guarded by <see cref="Lock"/>.</summary>
    internal bool Linkable;

    /// <summary>Last txg that changed it. Guarded by <see cref="Lock"/>.</summary>
    internal ulong LastTxg;

    internal ZnodePhys* Phys => (ZnodePhys*)Dnode!.Bonus;

    internal uint Mode => (uint)Phys->Mode;

    internal bool IsDirectory => ZplMode.IsType(Mode, ZplMode.Directory);

    internal bool IsRegular => ZplMode.IsType(Mode, ZplMode.Regular);
}
