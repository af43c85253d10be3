using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// Is there room? Asked when a transaction is assigned. What is on disk is in the accounts of datasets and directories; what is dirty, and what
/// assigned transactions may still dirty, is <see cref="DslDir.Inflight"/>, of each directory with all below it (that of the root is
/// the pool's). A dataset is held to its refquota, and every directory from it up to its quota; then the pool has to have the space, less what is
/// reserved for others. What falls into a reservation is charged to nothing above it: it is counted there as used already.
///
/// As in ZFS a quota is compared with what is used and in flight, not with what is asked for: the worst case of a transaction is many
/// times what it takes, and a quota should fill up. So one transaction may go past it, and what is freed may always.
/// Nobody is refused for good because of what is only in flight: ERESTART, and the next txgs tell.
/// </summary>
public sealed partial class Spa
{
    /// <summary>A dirty dnode with its change, what its owner keeps beside it, and its two copies on disk.</summary>
    private const int DirtyDnodeBytes = 2048;

    // Makes a check against limits and the promise that follows it one step. A leaf.
    private readonly Kmutex _spaceMutex = new("spa_space");
    private long _unusedReserved;

    /// <summary>Bytes of reservations that are not used yet.</summary>
    public long UnusedReserved => Katomic.Load(ref _unusedReserved);

    /// <inheritdoc/>
    public int CheckSpace(TxHoldable? first, long bytes, bool netFree, out long promised)
    {
        promised = 0;
        if (HasFailed)
        {
            return Errno.EIO;
        }

        DslDataset? ds = (first as Dnode)?.Objset.Dataset;
        bool limited = ds is { IsLimited: true };
        if (!limited)
        {
            int failed = CheckPool(bytes, covered: 0, netFree);
            if (failed == 0 || _reserving.Length == 0)
            {
                return failed;
            }
        }

        _spaceMutex.Enter();
        int error = CheckLimits(ds, bytes, netFree, exact: false);
        if (error != 0 && _reserving.Length > 0)
        {
            CountCovered();
            error = CheckLimits(ds, bytes, netFree, exact: true);
        }

        if (error == 0 && limited)
        {
            promised = bytes;
            ds!.AddInflight(bytes);
        }

        _spaceMutex.Exit();
        return error;
    }

    /// <inheritdoc/>
    public void ReleaseSpace(TxHoldable first, long promised) => ((Dnode)first).Objset.Dataset!.AddInflight(-promised);

    /// <summary>A number from disk as bytes: what is beyond any pool is cut, so that sums of a few stay numbers.</summary>
    internal static long Clamped(ulong bytes) => (long)Math.Min(bytes, 1UL << 60);

    internal void AddUnusedReserved(long bytes) => Katomic.Add(ref _unusedReserved, bytes);

    /// <summary>Bytes that a directory and all below may still take (dsl_dir_space_available).</summary>
    internal long SpaceAvailable(DslDir dir)
    {
        long used = Clamped(dir.UsedBytes);
        long space = dir.Parent is { } parent ? SpaceAvailable(parent) + Math.Max(0, Clamped(dir.Reserved) - used) : Math.Max(0, AvailableBytes);
        return dir.Quota == 0 ? space : Math.Max(0, Math.Min(space, Clamped(dir.Quota) - used));
    }

    /// <summary>A block became dirty: its buffer counts against the dirty limit, and whole sectors and its pointer against the space.</summary>
    internal unsafe void ChargeDirty(Dbuf db, DirtyRecord* dr)
    {
        if (db.Os!.IsMos || db.Dn!.IsSpecial)
        {
            return;
        }

        const int PointerBytes = 2 * Blkptr.SizeOf;
        dr->Charged = dr->Size;
        dr->Pending = (((long)dr->Size + _sectorBytes - 1) & -(long)_sectorBytes) * db.Os.CopiesFor(false);
        dr->Pending += PointerBytes * db.Os.CopiesFor(true);
        db.Os.Dataset!.AddInflight(dr->Pending);
        Txg.DirtySpace(dr->Charged, dr->Txg);
    }

    internal unsafe void UnchargeDirty(Objset os, DirtyRecord* dr)
    {
        if (dr->Charged == 0)
        {
            return;
        }

        os.Dataset!.AddInflight(-dr->Pending);
        Txg.UndirtySpace(dr->Charged, dr->Txg);
    }

    /// <summary>A dnode became dirty, and stays in memory until its txg is written.</summary>
    internal void ChargeDirtyDnode(Objset os, DnodeChange change)
    {
        change.Charged = DirtyDnodeBytes;
        os.Dataset!.AddInflight(DirtyDnodeBytes);
        Txg.DirtySpace(DirtyDnodeBytes, change.Txg);
    }

    internal void UnchargeDirtyDnode(Objset os, DnodeChange change)
    {
        if (change.Charged == 0)
        {
            return;
        }

        os.Dataset!.AddInflight(-change.Charged);
        Txg.UndirtySpace(change.Charged, change.Txg);
    }

    /// <summary>What txgs that are not written yet will free changes by so many bytes: a guess, for <see cref="CheckSpace"/>.</summary>
    internal void ExpectFree(Objset os, long bytes)
    {
        if (os.Dataset is { } ds)
        {
            ds.AddExpectedFree(bytes);
        }
        else if (bytes != 0)
        {
            MosDir.AddExpectedFree(bytes);
        }
    }

    /// <summary>EDQUOT only if what is on disk, less what is about to be freed, fills the quota by itself.</summary>
    private static int CheckQuota(ulong quota, long used, long inflight, long expectedFree)
    {
        long limit = Clamped(quota);
        return quota == 0 || used + inflight < limit ? 0 : used - expectedFree < limit ? Errno.ERESTART : Errno.EDQUOT;
    }

    /// <summary>The checks from the dataset up to the pool. Space mutex held.</summary>
    /// <param name="ds">The dataset; null: the pool alone.</param>
    /// <param name="bytes">The transaction's worst case.</param>
    /// <param name="netFree">It frees more than it takes.</param>
    /// <param name="exact">What falls into reservations of others has been counted (<see cref="CountCovered"/>); else it counts twice.</param>
    private int CheckLimits(DslDataset? ds, long bytes, bool netFree, bool exact)
    {
        long ask = Math.Max(0, bytes);
        if (ds is not null)
        {
            bool held = !netFree && !InReplay;
            int error = held ? CheckQuota(ds.RefQuota, Clamped(ds.UsedBytes), ds.Inflight, ds.ExpectedFree) : 0;
            if (error != 0)
            {
                return error;
            }

            // Of what the head has set aside: part will go to what is in flight, and part to this transaction. What of it counts as used
            // in the directory must not stand in the way of its own writer.
            long reserve = ds.UnusedReserve;
            long own = ds.Covered;
            ask -= Math.Min(ask, reserve - own);
            for (DslDir? dir = ds.Dir; dir is not null; dir = dir.Parent)
            {
                bool first = ReferenceEquals(dir, ds.Dir);
                long covered = exact ? dir.Covered : first ? own : 0;
                long used = Clamped(dir.UsedBytes);
                long inflight = dir.Inflight - covered;
                error = !held ? 0 : CheckQuota(dir.Quota, first ? used - (reserve - own) : used, inflight, dir.ExpectedFree);
                if (error != 0)
                {
                    return error;
                }

                long reserved = Clamped(dir.Reserved);
                if (dir.Parent is not null)
                {
                    ask = Math.Max(used + inflight + ask, reserved) - Math.Max(used + inflight, reserved);
                    if (ask == 0)
                    {
                        return 0;
                    }
                }
            }
        }

        return CheckPool(ask, exact ? RootDir.Covered : 0, netFree);
    }

    private int CheckPool(long bytes, long covered, bool netFree)
    {
        long limit = TotalBytes - (netFree || InReplay ? SlopBytes / 2 : SlopBytes) - UnusedReserved;
        long used = Allocator.AllocatedBytes + Allocator.DeferredBytes + RootDir.Inflight - covered;
        if (used + bytes <= limit)
        {
            return 0;
        }

        // Not now, but perhaps when what is dirty has its real size, what is being freed is free, and what was freed can be handed out
        // again: worth a txg's wait. Each wait brings what is expected to an end, one way or the other.
        long expected = Allocator.AllocatedBytes - RootDir.ExpectedFree;
        return expected + bytes <= limit ? Errno.ERESTART : Errno.ENOSPC;
    }

    /// <summary>Fills in <see cref="DslDir.Covered"/> of every directory above a reservation, from the deepest up. Space mutex held.</summary>
    private void CountCovered()
    {
        foreach (DslDataset ds in _reserving)
        {
            for (DslDir? dir = ds.Dir; dir is not null; dir = dir.Parent)
            {
                dir.Covered = 0;
            }
        }

        foreach (DslDataset ds in _reserving)
        {
            DslDir dir = ds.Dir;
            AddCovered(dir, ds.Covered);
            if (dir.Parent is { } parent)
            {
                long unused = Math.Max(0, Clamped(dir.Reserved) - Clamped(dir.UsedBytes));
                AddCovered(parent, Math.Clamp(dir.Inflight - dir.Covered, 0, unused));
            }
        }
    }

    private static void AddCovered(DslDir from, long bytes)
    {
        for (DslDir? dir = from; bytes != 0 && dir is not null; dir = dir.Parent)
        {
            dir.Covered += bytes;
        }
    }
}
