using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>New names: create, mkdir, mknod, symlink, link.</summary>
public sealed unsafe partial class Zfsvfs
{
    private const int SymlinkMax = 4095;
    private const ulong LinksMax = int.MaxValue;

    /// <summary>Flags of every new file: archive and modified bits, trivial ACL (format sheet §7.2).</summary>
    private const ulong NewFileFlags = ZnodePhys.FlagArchive | (0x400UL << 32) | ZnodePhys.FlagAclTrivial;

    /// <summary>Creates a regular file, directory, special file or (with target) symbolic link: the type is in mode (S_IFMT).</summary>
    public int Create(in Cred cred, ulong dir, ReadOnlySpan<byte> name, uint mode, uint rdev, ReadOnlySpan<byte> target, out ZnodeAttr attr)
    {
        attr = default;
        mode = (mode & ZplMode.TypeMask) == 0 ? mode | ZplMode.Regular : mode;
        int error = CheckCreate(name, mode, target);
        if (error != 0)
        {
            return error;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? dz = null;
        Znode? z = null;
        try
        {
            error = GetDirectory(dir, out dz);
            bool waited = false;
            while (error == 0)
            {
                error = TryCreate(cred, dz!, name, mode, rdev, target, waited, out z, out DmuTx? retry);
                if (error != Errno.ERESTART)
                {
                    break;
                }

                WaitAndAbort(retry!);
                waited = true;
                error = 0;
            }

            if (error == 0)
            {
                FillAttr(z!, out attr);
                error = CommitIfAlways(z!.Object);
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
            Put(dz);
        }
    }

    /// <summary>Gives a file one more name.</summary>
    public int Link(ulong obj, ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr)
    {
        attr = default;
        int error = IsReadOnly ? Errno.EROFS : CheckNewName(name);
        if (error != 0)
        {
            return error;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? dz = null;
        Znode? z = null;
        try
        {
            error = _cache.Get(obj, out z);
            if (error == 0)
            {
                error = z!.IsDirectory ? Errno.EPERM : GetDirectory(dir, out dz);
            }

            bool waited = false;
            while (error == 0)
            {
                error = TryLink(z!, dz!, name, waited, out DmuTx? retry);
                if (error != Errno.ERESTART)
                {
                    break;
                }

                WaitAndAbort(retry!);
                waited = true;
                error = 0;
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
            Put(dz);
        }
    }

    private int CheckCreate(ReadOnlySpan<byte> name, uint mode, ReadOnlySpan<byte> target)
    {
        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        if (!ZplMode.IsValid(mode))
        {
            return Errno.EINVAL;
        }

        if (ZplMode.IsType(mode, ZplMode.Link) && target.Length is 0 or > SymlinkMax)
        {
            return target.Length == 0 ? Errno.ENOENT : Errno.ENAMETOOLONG;
        }

        return CheckNewName(name);
    }

    /// <summary>One try, under the name lock. ERESTART: wait with the transaction, then again.</summary>
    private int TryCreate(in Cred cred, Znode dz, ReadOnlySpan<byte> name, uint mode, uint rdev, ReadOnlySpan<byte> target, bool waited, out Znode? z, out DmuTx? retry)
    {
        z = null;
        retry = null;
        bool isDirectory = ZplMode.IsType(mode, ZplMode.Directory);
        Znode? fresh = _cache.New();
        DmuTx? tx = null;
        dz.NameLock.EnterWrite();
        try
        {
            int error = MayAdd(dz, name, isDirectory);
            error = error == 0 ? MayMakeIn(dz, cred) : error;
            if (error != 0)
            {
                return error;
            }

            tx = DmuTx.Create(_txg);
            tx.HoldNewObject(_os, isDirectory ? ZapLimits.MicroBlockStep : target.Length);
            tx.HoldZap(dz.Dnode!, add: true);
            tx.HoldBonus(dz.Dnode!);
            error = tx.Assign(Retrying(waited));
            if (error != 0)
            {
                return Refused(ref tx, error, out retry);
            }

            Dnode dn = MakeObject(cred, dz, mode, rdev, target, tx);
            error = AddNew(dz, name, dn, mode, isDirectory, tx);
            if (error == 0)
            {
                _log?.LogCreate(tx, LogKindOf(mode), dz.Object, dn, name, target);
                _cache.Insert(fresh, dn, tx.Txg);
                z = fresh;
                fresh = null;
            }

            tx.Commit();
            tx = null;
            return error;
        }
        finally
        {
            EndFailed(tx);
            dz.NameLock.Exit();
            _cache.Discard(fresh);
        }
    }

    /// <summary>After a failed Assign: keeps the transaction for the wait if that helps, else drops it.</summary>
    private static int Refused(ref DmuTx? tx, int error, out DmuTx? retry)
    {
        retry = null;
        if (error == Errno.ERESTART)
        {
            retry = tx;
        }
        else
        {
            tx!.Abort();
        }

        tx = null;
        return error;
    }

    /// <summary>May the directory get this name? Under its name lock.</summary>
    private int MayAdd(Znode dz, ReadOnlySpan<byte> name, bool isDirectory)
    {
        if (dz.Unlinked || IsImmutable(dz))
        {
            return dz.Unlinked ? Errno.ENOENT : Errno.EPERM;
        }

        if (isDirectory && dz.Phys->Links >= LinksMax)
        {
            return Errno.EMLINK;
        }

        int error = FindEntry(dz, name, out _);
        return error == 0 ? Errno.EEXIST : error == Errno.ENOENT ? 0 : error;
    }

    /// <summary>Enters a new object into the directory, or takes it back if that can't be done.</summary>
    private int AddNew(Znode dz, ReadOnlySpan<byte> name, Dnode dn, uint mode, bool isDirectory, DmuTx tx)
    {
        int error;
        try
        {
            error = Zap.Add(dz.Dnode!, name, MakeEntry(mode, dn.Object), tx);
        }
        catch (ZfsException e)
        {
            error = ErrnoOf(e);
        }

        if (error != 0)
        {
            _os.FreeObject(dn, tx);
            dn.Release();
            return error;
        }

        TouchDirectory(dz, 1, isDirectory ? 1 : 0, tx);
        return 0;
    }

    /// <summary>Allocates and fills in the object of a new file. Returned held.</summary>
    private Dnode MakeObject(in Cred cred, Znode dz, uint mode, uint rdev, ReadOnlySpan<byte> target, DmuTx tx)
    {
        bool isDirectory = ZplMode.IsType(mode, ZplMode.Directory);
        bool isInline = target.Length is > 0 and <= ZnodePhys.MaxInlineSymlink && ZplMode.IsType(mode, ZplMode.Link);
        int bonus = ZnodePhys.SizeOf + (isInline ? target.Length : 0);
        int block = ZplMode.IsType(mode, ZplMode.Link) && !isInline ? (target.Length + 511) & ~511 : 512;
        Dnode dn = isDirectory
            ? Zap.Create(_os, DmuOt.DirectoryContents, DmuOt.Znode, bonus, tx, _normFlags)
            : _os.AllocateObject(DmuOt.PlainFileContents, block, DmuOt.Znode, bonus, tx);
        if (isDirectory && InheritsGroup(dz))
        {
            mode |= ZplMode.SetGid;
        }

        InitPhys(dn, OwnerIn(dz, cred), mode, dz.Object, NewFileFlags, tx);
        var phys = (ZnodePhys*)dn.Bonus;
        if (ZplMode.IsType(mode, ZplMode.Character) || ZplMode.IsType(mode, ZplMode.Block))
        {
            phys->Rdev = rdev;
        }

        if (ZplMode.IsType(mode, ZplMode.Link))
        {
            phys->Size = (ulong)target.Length;
            StoreTarget(dn, target, isInline, tx);
        }

        return dn;
    }

    private bool InheritsGroup(Znode dz) => (dz.Mode & ZplMode.SetGid) != 0 && !_replayAs.IsGiven;

    /// <summary>Who owns what is made in a directory.</summary>
    private Cred OwnerIn(Znode dz, in Cred cred)
    {
        dz.Lock.Enter();
        var owner = new Cred(cred.Uid, InheritsGroup(dz) ? (uint)dz.Phys->Gid : cred.Gid);
        dz.Lock.Exit();
        return owner;
    }

    private static void StoreTarget(Dnode dn, ReadOnlySpan<byte> target, bool isInline, DmuTx tx)
    {
        if (isInline)
        {
            target.CopyTo(new Span<byte>(dn.Bonus + ZnodePhys.SizeOf, ZnodePhys.MaxInlineSymlink));
            return;
        }

        fixed (byte* p = target)
        {
            dn.Write(0, target.Length, p, tx);
        }
    }

    /// <summary>Fills in the attributes of a new object.</summary>
    private void InitPhys(Dnode dn, Cred owner, uint mode, ulong parent, ulong flags, DmuTx tx)
    {
        dn.DirtyBonus(tx);
        (long seconds, long nanoseconds) = _replayAs.IsGiven ? (_replayAs.Seconds, _replayAs.Nanoseconds) : Kclock.WallTime();
        bool isDirectory = ZplMode.IsType(mode, ZplMode.Directory);
        var p = (ZnodePhys*)dn.Bonus;
        *p = default;
        p->AtimeSeconds = p->MtimeSeconds = p->CtimeSeconds = p->CrtimeSeconds = seconds;
        p->AtimeNanoseconds = p->MtimeNanoseconds = p->CtimeNanoseconds = p->CrtimeNanoseconds = nanoseconds;
        p->Generation = _replayAs.IsGiven ? _replayAs.Generation : tx.Txg;
        p->Size = isDirectory ? 2UL : 0;
        p->Links = isDirectory ? 2UL : 1;
        p->Parent = parent;
        p->Flags = flags | (isDirectory ? ZnodePhys.FlagAclAuto : 0);
        p->Uid = owner.Uid;
        p->Gid = owner.Gid;
        ZplAcl.SetMode(p, mode);
    }

    private int TryLink(Znode z, Znode dz, ReadOnlySpan<byte> name, bool waited, out DmuTx? retry)
    {
        retry = null;
        DmuTx? tx = null;
        dz.NameLock.EnterWrite();
        try
        {
            int error = IsFixed(z) ? Errno.EPERM : MayAdd(dz, name, isDirectory: false);
            if (error != 0)
            {
                return error;
            }

            tx = DmuTx.Create(_txg);
            tx.HoldZap(dz.Dnode!, add: true);
            tx.HoldBonus(dz.Dnode!);
            tx.HoldBonus(z.Dnode!);
            bool temporary = z.Linkable;
            if (temporary)
            {
                tx.HoldZap(_deleteQueue!, add: false);
            }

            error = tx.Assign(Retrying(waited));
            if (error != 0)
            {
                return Refused(ref tx, error, out retry);
            }

            error = ChangeLinks(z, 1, dz.Object, tx);
            if (error == 0)
            {
                error = Zap.Add(dz.Dnode!, name, MakeEntry(z.Mode, z.Object), tx);
                if (error == 0)
                {
                    TouchDirectory(dz, 1, 0, tx);
                    if (temporary)
                    {
                        NameTemporary(z, tx);
                    }
                    else
                    {
                        _log?.LogLink(tx, dz.Object, z.Object, name);
                    }
                }
                else
                {
                    ChangeLinks(z, -1, 0, tx);
                }
            }

            tx.Commit();
            tx = null;
            return error;
        }
        finally
        {
            EndFailed(tx);
            dz.NameLock.Exit();
        }
    }

    /// <summary>One link more or less. ENOENT: the last one is gone already; EMLINK.</summary>
    private static int ChangeLinks(Znode z, int delta, ulong newParent, DmuTx tx)
    {
        z.Dnode!.DirtyBonus(tx);
        z.Lock.Enter();
        int error = z.Unlinked && !z.Linkable ? Errno.ENOENT : delta > 0 && z.Phys->Links >= LinksMax ? Errno.EMLINK : 0;
        if (error == 0)
        {
            z.Phys->Links += (ulong)(long)delta;
            if (newParent != 0)
            {
                z.Phys->Parent = newParent;
            }

            TouchAttributes(z, tx);
        }

        z.Lock.Exit();
        return error;
    }
}
