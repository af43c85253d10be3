using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Rename: within a directory, from one to another, over something, and exchange.</summary>
public sealed unsafe partial class Zfsvfs
{
    private const uint RenameNoReplace = 1;
    private const uint RenameExchange = 2;

    /// <summary>Deepest tree that a walk to the root goes up: a longer way is a circle, which is damage.</summary>
    private const int DepthMax = 1 << 16;

    /// <summary>rename(2) and renameat2: flags RENAME_NOREPLACE 1, RENAME_EXCHANGE 2.</summary>
    public int Rename(in Cred cred, ulong sourceDir, ReadOnlySpan<byte> sourceName, ulong targetDir, ReadOnlySpan<byte> targetName, uint flags)
    {
        int error = CheckRename(sourceName, targetName, flags);
        if (error != 0)
        {
            return error;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? sd = null;
        Znode? td = null;
        try
        {
            error = GetDirectory(sourceDir, out sd);
            if (error == 0)
            {
                error = GetDirectory(targetDir, out td);
            }

            bool waited = false;
            while (error == 0)
            {
                error = RenameOnce(sd!, sourceName, td!, targetName, flags, waited, out DmuTx? retry);
                if (error != Errno.ERESTART)
                {
                    break;
                }

                WaitAndAbort(retry!);
                waited = true;
                error = 0;
            }

            return error == 0 ? CommitIfAlways(targetDir) : error;
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
        finally
        {
            Put(td);
            Put(sd);
        }
    }

    private int CheckRename(ReadOnlySpan<byte> sourceName, ReadOnlySpan<byte> targetName, uint flags)
    {
        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        if ((flags & ~(RenameNoReplace | RenameExchange)) != 0 || flags == (RenameNoReplace | RenameExchange))
        {
            return Errno.EINVAL;
        }

        if (IsDot(sourceName) || IsDotDot(sourceName) || IsDot(targetName) || IsDotDot(targetName))
        {
            return Errno.EBUSY;
        }

        int error = CheckName(sourceName);
        return error != 0 ? error : CheckNewName(targetName);
    }

    /// <summary>One try with all locks; the references to what is renamed are dropped after them.</summary>
    private int RenameOnce(Znode sd, ReadOnlySpan<byte> sourceName, Znode td, ReadOnlySpan<byte> targetName, uint flags, bool waited, out DmuTx? retry)
    {
        bool across = !ReferenceEquals(sd, td);
        Znode? sz = null;
        Znode? tz = null;
        bool victimLocked = false;
        ulong tooMany = 0;
        if (across)
        {
            _renameMutex.Enter();
        }

        try
        {
            LockDirectories(sd, td);
            try
            {
                int error = TryRename(sd, sourceName, td, targetName, flags, waited, ref sz, ref tz, ref victimLocked, out retry);
                if (error == 0 && KeepsReplaced && tz is { Unlinked: true })
                {
                    tooMany = KeepReplaced(tz.Object);
                }

                return error;
            }
            finally
            {
                if (victimLocked)
                {
                    tz!.NameLock.Exit();
                }

                td.NameLock.Exit();
                if (across)
                {
                    sd.NameLock.Exit();
                }
            }
        }
        finally
        {
            if (across)
            {
                _renameMutex.Exit();
            }

            Put(tz);
            Put(sz);
            if (tooMany != 0)
            {
                _cache.Close(tooMany);
            }
        }
    }

    /// <summary>Takes both name locks: the upper directory's first, else the lower object number's.</summary>
    private void LockDirectories(Znode sd, Znode td)
    {
        if (ReferenceEquals(sd, td))
        {
            sd.NameLock.EnterWrite();
            return;
        }

        bool sourceFirst = IsAbove(sd.Object, td) || (!IsAbove(td.Object, sd) && sd.Object < td.Object);
        (sourceFirst ? sd : td).NameLock.EnterWrite();
        (sourceFirst ? td : sd).NameLock.EnterWriteNested(1);
    }

    /// <summary>Is this object above the directory, on its way to the root? Under the rename mutex.</summary>
    private bool IsAbove(ulong obj, Znode dz)
    {
        ulong at = dz.Phys->Parent;
        for (int depth = 0; depth < DepthMax; depth++)
        {
            if (at == obj)
            {
                return true;
            }

            if (at == RootObject)
            {
                return false;
            }

            Dnode? dn = _os.TryHoldObject(at);
            if (dn is null)
            {
                return false;
            }

            bool isDirectory = dn.Type == DmuOt.DirectoryContents && dn.BonusType == DmuOt.Znode && dn.BonusLength >= ZnodePhys.SizeOf;
            at = isDirectory ? ((ZnodePhys*)dn.Bonus)->Parent : RootObject;
            dn.Release();
        }

        throw new ZfsException(Errno.EIO, $"the directories above object {dz.Object} form a circle");
    }

    private int TryRename(Znode sd, ReadOnlySpan<byte> sourceName, Znode td, ReadOnlySpan<byte> targetName, uint flags, bool waited, ref Znode? sz, ref Znode? tz, ref bool victimLocked, out DmuTx? retry)
    {
        retry = null;
        int error = LookupLocked(sd, sourceName, out _, out sz);
        if (error != 0)
        {
            return error;
        }

        bool exchange = flags == RenameExchange;
        bool respell = _anyCase && ReferenceEquals(sd, td) && ZapHash.Same(_normFlags, sourceName, targetName);
        error = respell ? Errno.ENOENT : LookupLocked(td, targetName, out _, out tz);
        if (error != 0 && (error != Errno.ENOENT || (exchange && !respell)))
        {
            return error;
        }

        if (flags == RenameNoReplace && tz is not null)
        {
            return Errno.EEXIST;
        }

        if (ReferenceEquals(sz, tz) || (respell && exchange))
        {
            return 0;
        }

        if (MayUnname(sd, sz!) != 0 || (tz is null ? IsImmutable(td) : MayUnname(td, tz) != 0))
        {
            return Errno.EPERM;
        }

        error = CheckChild(sd, sz!);
        error = error == 0 && tz is not null ? CheckChild(td, tz) : error;
        error = error == 0 ? MayMove(sd, sz!, td, tz, exchange) : error;
        if (error != 0)
        {
            return error;
        }

        if (tz is not null && !exchange && tz.IsDirectory)
        {
            tz.NameLock.EnterWriteNested(2);
            victimLocked = true;
            if (!IsEmpty(tz))
            {
                return Errno.ENOTEMPTY;
            }
        }

        return Move(sd, sourceName, sz!, td, targetName, tz, exchange, waited, out retry);
    }

    /// <summary>The rules of rename about kinds of files and the shape of the tree.</summary>
    private int MayMove(Znode sd, Znode sz, Znode td, Znode? tz, bool exchange)
    {
        bool across = !ReferenceEquals(sd, td);
        if (td.Unlinked)
        {
            return Errno.ENOENT;
        }

        if (across && sz.IsDirectory && (ReferenceEquals(sz, td) || IsAbove(sz.Object, td)))
        {
            return Errno.EINVAL;
        }

        bool targetAbove = across && tz is not null && tz.IsDirectory && (ReferenceEquals(tz, sd) || IsAbove(tz.Object, sd));
        if (targetAbove)
        {
            return exchange ? Errno.EINVAL : Errno.ENOTEMPTY;
        }

        if (tz is not null && !exchange && sz.IsDirectory != tz.IsDirectory)
        {
            return sz.IsDirectory ? Errno.ENOTDIR : Errno.EISDIR;
        }

        bool addsSubdirectory = across && sz.IsDirectory && (tz is null || !tz.IsDirectory);
        return addsSubdirectory && td.Phys->Links >= LinksMax ? Errno.EMLINK : 0;
    }

    private int Move(Znode sd, ReadOnlySpan<byte> sourceName, Znode sz, Znode td, ReadOnlySpan<byte> targetName, Znode? tz, bool exchange, bool waited, out DmuTx? retry)
    {
        retry = null;
        DmuTx? tx = DmuTx.Create(_txg);
        try
        {
            tx.HoldZap(sd.Dnode!, exchange);
            tx.HoldZap(td.Dnode!, add: true);
            tx.HoldBonus(sd.Dnode!);
            tx.HoldBonus(td.Dnode!);
            tx.HoldBonus(sz.Dnode!);
            if (tz is not null && exchange)
            {
                tx.HoldBonus(tz.Dnode!);
            }
            else if (tz is not null)
            {
                HoldUnlink(tz, tx);
            }

            int error = tx.Assign(Retrying(waited));
            if (error != 0)
            {
                return Refused(ref tx, error, out retry);
            }

            if (exchange)
            {
                Exchange(sd, sourceName, sz, td, targetName, tz!, tx);
                _log?.LogUnloggable(tx);
            }
            else
            {
                error = Replace(sd, sourceName, sz, td, targetName, tz, tx);
                if (error == 0)
                {
                    _log?.LogRename(tx, sd.Object, td.Object, sourceName, targetName, sz.Object);
                }
            }

            tx.Commit();
            tx = null;
            return error;
        }
        finally
        {
            EndFailed(tx);
        }
    }

    private int Replace(Znode sd, ReadOnlySpan<byte> sourceName, Znode sz, Znode td, ReadOnlySpan<byte> targetName, Znode? tz, DmuTx tx)
    {
        bool across = !ReferenceEquals(sd, td);
        ulong entry = MakeEntry(sz.Mode, sz.Object);
        if (tz is not null)
        {
            ReplaceEntry(td, targetName, entry, tx);
            RemoveEntry(sd, sourceName, tx);
        }
        else if (_anyCase && !across)
        {
            // The new name may be the old one in other letters.
            RemoveEntry(sd, sourceName, tx);
            int error = Zap.Add(td.Dnode!, targetName, entry, tx);
            if (error != 0)
            {
                _ = Zap.Add(sd.Dnode!, sourceName, entry, tx);
                return error;
            }
        }
        else
        {
            int error = Zap.Add(td.Dnode!, targetName, entry, tx);
            if (error != 0)
            {
                return error;
            }

            RemoveEntry(sd, sourceName, tx);
        }

        int moved = sz.IsDirectory ? 1 : 0;
        int replaced = tz is not null && tz.IsDirectory ? 1 : 0;
        int entries = tz is null ? 1 : 0;
        SetParent(sz, td, tx);
        if (across)
        {
            TouchDirectory(sd, -1, -moved, tx);
            TouchDirectory(td, entries, moved - replaced, tx);
        }
        else
        {
            TouchDirectory(sd, entries - 1, -replaced, tx);
        }

        if (tz is not null)
        {
            Drop(tz, tx);
        }

        return 0;
    }

    /// <summary>Takes a link from what was replaced; if it was the last, the file is kept for a while.</summary>
    private void Drop(Znode tz, DmuTx tx)
    {
        if (KeepsReplaced)
        {
            _cache.Open(tz);
        }

        DropLink(tz, tx);
        if (KeepsReplaced && !tz.Unlinked)
        {
            _cache.Open(tz, -1);
        }
    }

    private void Exchange(Znode sd, ReadOnlySpan<byte> sourceName, Znode sz, Znode td, ReadOnlySpan<byte> targetName, Znode tz, DmuTx tx)
    {
        ReplaceEntry(sd, sourceName, MakeEntry(tz.Mode, tz.Object), tx);
        ReplaceEntry(td, targetName, MakeEntry(sz.Mode, sz.Object), tx);
        int shift = (sz.IsDirectory ? 1 : 0) - (tz.IsDirectory ? 1 : 0);
        SetParent(sz, td, tx);
        SetParent(tz, sd, tx);
        if (ReferenceEquals(sd, td))
        {
            TouchDirectory(sd, 0, 0, tx);
            return;
        }

        TouchDirectory(sd, 0, -shift, tx);
        TouchDirectory(td, 0, shift, tx);
    }

    private static void SetParent(Znode z, Znode dir, DmuTx tx)
    {
        z.Dnode!.DirtyBonus(tx);
        z.Lock.Enter();
        z.Phys->Parent = dir.Object;
        TouchAttributes(z, tx);
        z.Lock.Exit();
    }
}
