using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Attributes: stat, chmod, chown, utimens, and the access time.</summary>
public sealed unsafe partial class Zfsvfs
{
    private const long DaySeconds = 24 * 60 * 60;

    private const long CachedWriteSeconds = 5;
    private const SetAttrMask BonusMask = SetAttrMask.Mode | SetAttrMask.Uid | SetAttrMask.Gid | SetAttrMask.Atime | SetAttrMask.Mtime
        | SetAttrMask.AtimeNow | SetAttrMask.MtimeNow | SetAttrMask.Ctime | SetAttrMask.KillSuidgid
        | SetAttrMask.Flags;

    /// <summary>stat(2).</summary>
    public int GetAttr(ulong obj, out ZnodeAttr attr)
    {
        attr = default;
        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            int error = _cache.Get(obj, out z);
            if (error == 0)
            {
                FillAttr(z!, out attr);
            }

            return error;
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
        finally
        {
            Put(z);
        }
    }

    /// <summary>Changes attributes; a change of size first, the others together in one transaction. The result is the new state.</summary>
    public int SetAttr(in Cred cred, ulong obj, SetAttrMask mask, in ZnodeAttr values, out ZnodeAttr attr)
    {
        attr = default;
        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            int error = _cache.Get(obj, out z);
            if (error == 0)
            {
                error = MayChange(z!, mask);
            }

            if (error == 0 && (mask & SetAttrMask.Size) != 0)
            {
                error = SetSize(z!, values.Size, (mask & SetAttrMask.KillSuidgid) != 0);
            }

            if (error == 0 && (mask & (SetAttrMask.Uid | SetAttrMask.Gid)) != 0)
            {
                error = MayOwn(z!, mask, values);
            }

            if (error == 0 && (mask & BonusMask) != 0)
            {
                error = SetBonus(z!, mask, values);
            }

            if (error == 0)
            {
                FillAttr(z!, out attr);
                error = CommitIfAlways(obj);
            }

            return error;
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
        finally
        {
            Put(z);
        }
    }

    /// <summary>Writes a dirty access time in a transaction of its own (zfs_inactive). A failure loses the access time only.</summary>
    internal void WriteAtime(Znode z)
    {
        if (z.Memory->AtimeDirty == 0 || z.Unlinked || z.State != ZnodeState.Ready || IsReadOnly)
        {
            z.Memory->AtimeDirty = 0;
            return;
        }

        DmuTx? tx = null;
        try
        {
            tx = DmuTx.Create(_txg);
            tx.HoldBonus(z.Dnode!);
            if (tx.Assign(TxAssign.Wait) != 0)
            {
                z.Memory->AtimeDirty = 0;
                tx.Abort();
                return;
            }

            z.Dnode!.DirtyBonus(tx);
            z.Lock.Enter();
            FlushAtime(z);
            z.Lock.Exit();
            tx.Commit();
        }
        catch (ZfsException)
        {
            z.Memory->AtimeDirty = 0;
            EndFailed(tx);
        }
    }

    /// <summary>Attributes as stat shows them.</summary>
    private void FillAttr(Znode z, out ZnodeAttr attr)
    {
        Dnode dn = z.Dnode!;
        z.Lock.Enter();
        ZnodePhys* p = z.Phys;
        attr = new ZnodeAttr
        {
            Object = z.Object,
            Generation = p->Generation,
            Mode = (uint)p->Mode,
            Links = (uint)Math.Min(p->Links, uint.MaxValue),
            Uid = (uint)p->Uid,
            Gid = (uint)p->Gid,
            Rdev = FromDiskRdev(p->Rdev),
            Size = p->Size,
            AtimeSec = z.Memory->AtimeSeconds,
            AtimeNsec = Nanoseconds(z.Memory->AtimeNanoseconds),
            MtimeSec = p->MtimeSeconds,
            MtimeNsec = Nanoseconds(p->MtimeNanoseconds),
            CtimeSec = p->CtimeSeconds,
            CtimeNsec = Nanoseconds(p->CtimeNanoseconds),
            CrtimeSec = p->CrtimeSeconds,
            CrtimeNsec = Nanoseconds(p->CrtimeNanoseconds),
            Flags = (ZnodeFlags)(uint)(p->Flags >> ZnodePhys.FlagsShift),
        };
        z.Lock.Exit();

        // The dnode itself counts as one sector, as in ZFS.
        attr.Blocks = (ulong)((dn.UsedBytes + 511) / 512) + 1;
        bool mayGrow = dn.MaxBlockId == 0 && dn.BlockSize < RecordSize;
        attr.BlockSize = (uint)(mayGrow ? RecordSize : dn.BlockSize);
    }

    private int SetBonus(Znode z, SetAttrMask mask, in ZnodeAttr values)
    {
        DmuTx tx = DmuTx.Create(_txg);
        try
        {
            tx.HoldBonus(z.Dnode!);
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                tx.Abort();
                return error;
            }

            z.Dnode!.DirtyBonus(tx);

            // Owner and mode in two records: zfs-fuse passes over the mode in a record that has an owner too.
            const SetAttrMask Owners = SetAttrMask.Uid | SetAttrMask.Gid;
            Zilog? log = LogOf(z);
            Itx* owner = (mask & Owners) != 0 && log is not null ? log.PrepareSetAttr(tx) : null;
            Itx* rest = log is not null ? log.PrepareSetAttr(tx) : null;
            if ((mask & SetAttrMask.Flags) != 0)
            {
                _log?.LogUnloggable(tx);
            }

            z.Lock.Enter();
            uint modeBefore = (uint)z.Phys->Mode;
            ApplyBonus(z, mask, values);
            SetAttrMask changed = (uint)z.Phys->Mode != modeBefore ? mask | SetAttrMask.Mode : mask;
            log?.LogSetAttr(tx, owner, z.Object, changed & Owners, z.Phys);
            log?.LogSetAttr(tx, rest, z.Object, changed & ~Owners, z.Phys);
            z.LastTxg = tx.Txg;
            z.Lock.Exit();
            tx.Commit();
            return 0;
        }
        catch (ZfsException)
        {
            EndFailed(tx);
            throw;
        }
    }

    /// <summary>Under z_lock, the bonus announced dirty.</summary>
    private void ApplyBonus(Znode z, SetAttrMask mask, in ZnodeAttr values)
    {
        ZnodePhys* p = z.Phys;

        // Where the kernel says when it was, that is "now" for all three times.
        bool given = (mask & SetAttrMask.Ctime) != 0;
        (long seconds, long nanoseconds) = given ? (values.CtimeSec, values.CtimeNsec) : Kclock.WallTime();
        uint mode = (uint)p->Mode;
        bool owners = (mask & (SetAttrMask.Uid | SetAttrMask.Gid)) != 0;
        if ((mask & SetAttrMask.Uid) != 0)
        {
            p->Uid = values.Uid;
        }

        if ((mask & SetAttrMask.Gid) != 0)
        {
            p->Gid = values.Gid;
        }

        if ((mask & SetAttrMask.Mode) != 0)
        {
            mode = (mode & ZplMode.TypeMask) | (values.Mode & ZplMode.PermissionMask);
        }
        else if (owners || (mask & SetAttrMask.KillSuidgid) != 0)
        {
            mode = ZplMode.WithoutSetId(mode);
        }

        if (mode != (uint)p->Mode || (mask & SetAttrMask.Mode) != 0)
        {
            ZplAcl.SetMode(p, mode);
        }

        if ((mask & SetAttrMask.Flags) != 0)
        {
            p->Flags = (p->Flags & ~((ulong)SettableFlags << ZnodePhys.FlagsShift)) | ((ulong)(values.Flags & SettableFlags) << ZnodePhys.FlagsShift);
        }

        FlushAtime(z);
        if ((mask & (SetAttrMask.Atime | SetAttrMask.AtimeNow)) != 0)
        {
            bool now = (mask & SetAttrMask.AtimeNow) != 0;
            p->AtimeSeconds = z.Memory->AtimeSeconds = now ? seconds : values.AtimeSec;
            p->AtimeNanoseconds = z.Memory->AtimeNanoseconds = now ? nanoseconds : values.AtimeNsec;
        }

        if ((mask & (SetAttrMask.Mtime | SetAttrMask.MtimeNow)) != 0)
        {
            bool now = (mask & SetAttrMask.MtimeNow) != 0;
            p->MtimeSeconds = now ? seconds : values.MtimeSec;
            p->MtimeNanoseconds = now ? nanoseconds : values.MtimeNsec;
        }

        p->CtimeSeconds = seconds;
        p->CtimeNanoseconds = nanoseconds;
    }

    /// <summary>Notes a read of the file: its access time in memory, as the mode asks.</summary>
    private void StampAtime(Znode z)
    {
        if (Atime == AtimeMode.Off || IsReadOnly)
        {
            return;
        }

        (long seconds, long nanoseconds) = Kclock.WallTime();
        z.Lock.Enter();
        bool due = Atime == AtimeMode.On || IsAtimeDue(z, seconds);
        bool first = due && z.Memory->AtimeDirty == 0;
        if (due)
        {
            z.Memory->AtimeSeconds = seconds;
            z.Memory->AtimeNanoseconds = nanoseconds;
            z.Memory->AtimeDirty = 1;
        }

        z.Lock.Exit();
        if (first)
        {
            _cache.NoteAtimeDirty(z);
        }
    }

    /// <summary>relatime: not later than mtime or ctime, or a day old. Under z_lock.</summary>
    private static bool IsAtimeDue(Znode z, long nowSeconds)
    {
        ZnodeMemory* m = z.Memory;
        ZnodePhys* p = z.Phys;
        return !IsLater(m->AtimeSeconds, m->AtimeNanoseconds, p->MtimeSeconds, p->MtimeNanoseconds)
            || !IsLater(m->AtimeSeconds, m->AtimeNanoseconds, p->CtimeSeconds, p->CtimeNanoseconds)
            || nowSeconds - m->AtimeSeconds >= DaySeconds;
    }

    private static bool IsLater(long aSeconds, long aNs, long bSeconds, long bNs) => aSeconds > bSeconds || (aSeconds == bSeconds && aNs > bNs);

    /// <summary>Puts the access time of memory into the bonus. Under z_lock, in a transaction, the bonus announced dirty.</summary>
    private static void FlushAtime(Znode z)
    {
        if (z.Memory->AtimeDirty != 0)
        {
            z.Phys->AtimeSeconds = z.Memory->AtimeSeconds;
            z.Phys->AtimeNanoseconds = z.Memory->AtimeNanoseconds;
            z.Memory->AtimeDirty = 0;
        }
    }

    /// <summary>Contents changed: mtime and ctime. Under z_lock.</summary>
    private static void TouchContents(Znode z, DmuTx tx)
    {
        (long seconds, long nanoseconds) = Kclock.WallTime();
        ZnodePhys* p = z.Phys;
        p->MtimeSeconds = p->CtimeSeconds = seconds;
        p->MtimeNanoseconds = p->CtimeNanoseconds = nanoseconds;
        FlushAtime(z);
        z.LastTxg = tx.Txg;
    }

    /// <summary>
    /// mtime is of these seconds. The kernel's own, which it sends by itself, is then left alone: it would only move back and
    /// forth. An older one is not: contents must never be newer than a time that a crash kept the kernel from sending.
    /// </summary>
    private static bool WasTouchedLately(Znode z)
    {
        long age = Kclock.WallTime().Seconds - z.Phys->MtimeSeconds;
        return age is >= 0 and < CachedWriteSeconds;
    }

    /// <summary>Attributes changed: ctime. Under z_lock.</summary>
    private static void TouchAttributes(Znode z, DmuTx tx)
    {
        (z.Phys->CtimeSeconds, z.Phys->CtimeNanoseconds) = Kclock.WallTime();
        FlushAtime(z);
        z.LastTxg = tx.Txg;
    }

    /// <summary>Ends a transaction that an error interrupted: what it changed so far stays, since it can't be taken back.</summary>
    private static void EndFailed(DmuTx? tx)
    {
        if (tx is null)
        {
            return;
        }

        if (tx.Txg != 0)
        {
            tx.Commit();
        }
        else
        {
            tx.Abort();
        }
    }

    private static uint Nanoseconds(long value) => (ulong)value < 1_000_000_000 ? (uint)value : 0;

    /// <summary>Linux' 32-bit device number from the disk's: zfs-fuse's own form, or Solaris' with the major number above bit 31.</summary>
    private static uint FromDiskRdev(ulong rdev)
    {
        if (rdev >> 32 == 0)
        {
            return (uint)rdev;
        }

        var major = (uint)(rdev >> 32);
        var minor = (uint)rdev;
        return (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xffu) << 12);
    }
}
