using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// Extended attributes: a directory of their own per file (format sheet §7.8), names stored as they come, each value a small file.
/// Everything runs under the owner's name lock; these objects have no znodes and can't be named from outside.
/// </summary>
public sealed unsafe partial class Zfsvfs
{
    private const int XattrValueMax = 64 << 10;
    private const int XattrCreate = 1;
    private const int XattrReplace = 2;
    private const uint XattrDirMode = 0x43FF;
    private const uint XattrFileMode = 0x81B0;

    /// <summary>Reads an attribute; value empty: only the length. ENODATA, ERANGE, EOPNOTSUPP.</summary>
    public int GetXattr(ulong obj, ReadOnlySpan<byte> name, Span<byte> value, out int length)
    {
        length = 0;
        int error = CheckXattrName(name);
        if (error != 0)
        {
            return error;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            error = _cache.Get(obj, out z);
            if (error != 0)
            {
                return error;
            }

            if (z!.Phys->Xattr == 0)
            {
                return Errno.ENODATA;
            }

            z.NameLock.EnterRead();
            try
            {
                return ReadXattr(z, name, value, out length);
            }
            finally
            {
                z.NameLock.Exit();
            }
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

    /// <summary>Sets an attribute: flags XATTR_CREATE 1, XATTR_REPLACE 2. E2BIG beyond 64 KiB.</summary>
    public int SetXattr(in Cred cred, ulong obj, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags)
    {
        int error = IsReadOnly ? Errno.EROFS : CheckXattrName(name);
        if (error == 0)
        {
            error = value.Length > XattrValueMax ? Errno.E2BIG : (flags & ~(XattrCreate | XattrReplace)) != 0 ? Errno.EINVAL : 0;
        }

        return error != 0 ? error : ChangeXattr(cred, obj, name, value, flags, remove: false);
    }

    /// <summary>Lists the names, each with its NUL; list empty: only the length. ERANGE.</summary>
    public int ListXattr(ulong obj, Span<byte> list, out int length)
    {
        length = 0;
        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            int error = _cache.Get(obj, out z);
            if (error != 0 || z!.Phys->Xattr == 0)
            {
                return error;
            }

            z.NameLock.EnterRead();
            try
            {
                return ReadXattrNames(z, list, out length);
            }
            finally
            {
                z.NameLock.Exit();
            }
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

    /// <summary>Removes an attribute. ENODATA.</summary>
    public int RemoveXattr(ulong obj, ReadOnlySpan<byte> name)
    {
        int error = IsReadOnly ? Errno.EROFS : CheckXattrName(name);
        return error != 0 ? error : ChangeXattr(default, obj, name, default, 0, remove: true);
    }

    /// <summary>
    /// The namespaces of Linux but "system.", which would be POSIX access control lists: ZFS has NFSv4 ones, and would not heed
    /// such an attribute anywhere else.
    /// </summary>
    private static int CheckXattrName(ReadOnlySpan<byte> name)
    {
        int space = name.StartsWith("user."u8) ? 5 : name.StartsWith("trusted."u8) ? 8 : name.StartsWith("security."u8) ? 9 : 0;
        if (space == 0)
        {
            return name.Length == 0 ? Errno.EINVAL : Errno.EOPNOTSUPP;
        }

        return name.Length == space || name.Contains((byte)0) ? Errno.EINVAL : name.Length > (int)MaxNameLength ? Errno.ERANGE : 0;
    }

    /// <summary>Holds a file's xattr directory; null if it has none.</summary>
    private Dnode? HoldXattrDir(Dnode owner)
    {
        ulong obj = ((ZnodePhys*)owner.Bonus)->Xattr;
        return obj == 0 ? null : HoldXattrObject(obj, DmuOt.DirectoryContents);
    }

    /// <summary>Holds an object that must belong to the extended attributes.</summary>
    private Dnode HoldXattrObject(ulong obj, DmuOt type)
    {
        Dnode dn = _os.HoldObject(obj);
        if (dn.Type != type || dn.BonusType != DmuOt.Znode || dn.BonusLength < ZnodePhys.SizeOf || !IsXattrObject(dn))
        {
            dn.Release();
            throw new ZfsException(Errno.EIO, $"object {obj} does not belong to extended attributes");
        }

        return dn;
    }

    /// <summary>Holds the file of an attribute; null if there is none of this name.</summary>
    private Dnode? HoldXattrFile(Dnode? dir, ReadOnlySpan<byte> name)
    {
        if (dir is null || Zap.Lookup(dir, name, out ulong entry) != 0)
        {
            return null;
        }

        return HoldXattrObject(entry & EntryObjectMask, DmuOt.PlainFileContents);
    }

    private int ReadXattr(Znode z, ReadOnlySpan<byte> name, Span<byte> value, out int length)
    {
        length = 0;
        Dnode? dir = HoldXattrDir(z.Dnode!);
        Dnode? file = null;
        try
        {
            file = HoldXattrFile(dir, name);
            if (file is null)
            {
                return Errno.ENODATA;
            }

            ulong size = ((ZnodePhys*)file.Bonus)->Size;
            if (size > int.MaxValue)
            {
                return Errno.E2BIG;
            }

            length = (int)size;
            if (value.Length == 0)
            {
                return 0;
            }

            if (value.Length < length)
            {
                return Errno.ERANGE;
            }

            fixed (byte* p = value)
            {
                file.Read(0, length, p);
            }

            return 0;
        }
        finally
        {
            file?.Release();
            dir?.Release();
        }
    }

    private int ReadXattrNames(Znode z, Span<byte> list, out int length)
    {
        length = 0;
        Dnode? dir = HoldXattrDir(z.Dnode!);
        if (dir is null)
        {
            return 0;
        }

        try
        {
            Span<byte> buffer = stackalloc byte[ZapLimits.NameMax + 1];
            var cursor = new ZapCursor(dir, buffer, 0);
            while (cursor.MoveNext())
            {
                int next = length + cursor.Name.Length + 1;
                if (list.Length != 0)
                {
                    if (next > list.Length)
                    {
                        return Errno.ERANGE;
                    }

                    cursor.Name.CopyTo(list[length..]);
                    list[next - 1] = 0;
                }

                length = next;
            }

            return 0;
        }
        finally
        {
            dir.Release();
        }
    }

    private int ChangeXattr(in Cred cred, ulong obj, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags, bool remove)
    {
        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            int error = _cache.Get(obj, out z);
            bool waited = false;
            while (error == 0)
            {
                error = TryChangeXattr(cred, z!, name, value, flags, remove, waited, out DmuTx? retry);
                if (error != Errno.ERESTART)
                {
                    break;
                }

                WaitAndAbort(retry!);
                waited = true;
                error = 0;
            }

            return error == 0 ? CommitIfAlways(obj) : error;
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

    private int TryChangeXattr(in Cred cred, Znode z, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags, bool remove, bool waited, out DmuTx? retry)
    {
        retry = null;
        DmuTx? tx = null;
        Dnode? dir = null;
        Dnode? old = null;
        z.NameLock.EnterWrite();
        try
        {
            dir = HoldXattrDir(z.Dnode!);
            old = HoldXattrFile(dir, name);
            if (IsFixed(z) || (old is null ? remove || (flags & XattrReplace) != 0 : (flags & XattrCreate) != 0))
            {
                return IsFixed(z) ? Errno.EPERM : old is null ? Errno.ENODATA : Errno.EEXIST;
            }

            // The directory belongs to the file's owner, what is in it to who makes it.
            if (!remove && (IsOverQuota(cred) || (dir is null && IsOverQuota(z))))
            {
                return Errno.EDQUOT;
            }

            tx = DmuTx.Create(_txg);
            HoldXattrChange(z, dir, old, value.Length, remove, tx);
            int error = tx.Assign(Retrying(waited));
            if (error != 0)
            {
                return Refused(ref tx, error, out retry);
            }

            error = remove ? DeleteXattr(dir!, name, tx) : StoreXattr(cred, z, ref dir, name, value, old is null, tx);
            if (remove && error == 0)
            {
                LogOf(z)?.LogRemove(tx, ZilTx.Remove, dir!.Object, name, old!.Object, last: true);
            }

            if (error == 0)
            {
                FreeOptional(old, tx);
                z.Dnode!.DirtyBonus(tx);
                z.Lock.Enter();
                TouchAttributes(z, tx);
                z.Lock.Exit();
            }

            tx.Commit();
            tx = null;
            return error;
        }
        finally
        {
            EndFailed(tx);
            old?.Release();
            dir?.Release();
            z.NameLock.Exit();
        }
    }

    private void HoldXattrChange(Znode z, Dnode? dir, Dnode? old, int length, bool remove, DmuTx tx)
    {
        tx.HoldBonus(z.Dnode!);
        if (dir is not null)
        {
            tx.HoldZap(dir, add: !remove);
            tx.HoldBonus(dir);
        }
        else
        {
            tx.HoldNewObject(_os, ZapLimits.MicroBlockMax);
        }

        HoldFreeOptional(old, tx);
        if (remove)
        {
            tx.MarkNetFree();
        }
        else
        {
            tx.HoldNewObject(_os, length + (2L << 14));
        }
    }

    private int StoreXattr(in Cred cred, Znode z, ref Dnode? dir, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, bool isNew, DmuTx tx)
    {
        bool dirIsNew = dir is null;
        if (dir is null)
        {
            dir = Zap.Create(_os, DmuOt.DirectoryContents, DmuOt.Znode, ZnodePhys.SizeOf, tx, _normFlags);
            var owner = new Cred((uint)z.Phys->Uid, (uint)z.Phys->Gid);
            InitPhys(dir, owner, XattrDirMode, z.Object, NewFileFlags | ZnodePhys.FlagXattr, tx);
            z.Dnode!.DirtyBonus(tx);
            z.Lock.Enter();
            z.Phys->Xattr = dir.Object;
            z.Lock.Exit();
        }

        int block = Math.Clamp((value.Length + 511) & ~511, 512, RecordSize);
        Dnode file = _os.AllocateObject(DmuOt.PlainFileContents, block, DmuOt.Znode, ZnodePhys.SizeOf, tx);
        try
        {
            InitPhys(file, cred, XattrFileMode, dir.Object, NewFileFlags | ZnodePhys.FlagXattr, tx);
            ((ZnodePhys*)file.Bonus)->Size = (ulong)value.Length;
            fixed (byte* p = value)
            {
                file.Write(0, value.Length, p, tx);
            }

            int error = Zap.Update(dir, name, MakeEntry(XattrFileMode, file.Object), tx);
            if (error != 0)
            {
                _os.FreeObject(file, tx);
                _log?.LogUnloggable(tx);
                return error;
            }

            if (isNew)
            {
                LogOf(z)?.LogXattr(tx, z.Object, dir, dirIsNew, file, name, value);
            }
            else
            {
                // The records for it are two changes, with neither value in between.
                _log?.LogUnloggable(tx);
            }
        }
        finally
        {
            file.Release();
        }

        TouchXattrDir(dir, isNew ? 1 : 0, tx);
        return 0;
    }

    private static int DeleteXattr(Dnode dir, ReadOnlySpan<byte> name, DmuTx tx)
    {
        int error = Zap.Remove(dir, name, tx);
        if (error == 0)
        {
            TouchXattrDir(dir, -1, tx);
        }

        return error;
    }

    private static void TouchXattrDir(Dnode dir, int entries, DmuTx tx)
    {
        dir.DirtyBonus(tx);
        var p = (ZnodePhys*)dir.Bonus;
        p->Size += (ulong)(long)entries;
        (p->MtimeSeconds, p->MtimeNanoseconds) = Kmem.Spl.Kclock.WallTime();
        (p->CtimeSeconds, p->CtimeNanoseconds) = (p->MtimeSeconds, p->MtimeNanoseconds);
    }

    /// <summary>Frees the extended attributes of a file that is being freed, and unties them from it. Outside transactions.</summary>
    private void DestroyXattrs(Dnode owner, ulong dirObject)
    {
        Dnode? dir = _os.TryHoldObject(dirObject);
        if (dir is null || dir.Type != DmuOt.DirectoryContents || dir.BonusLength < ZnodePhys.SizeOf || !IsXattrObject(dir))
        {
            dir?.Release();
            return;
        }

        DmuTx? tx = null;
        try
        {
            DestroyEntries(dir);
            tx = DmuTx.Create(_txg);
            tx.HoldFree(dir, 0, ulong.MaxValue);
            tx.HoldBonus(owner);
            tx.MarkNetFree();
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                throw new ZfsException(error, $"the extended attributes of object {owner.Object} can't be freed");
            }

            owner.DirtyBonus(tx);
            ((ZnodePhys*)owner.Bonus)->Xattr = 0;
            _os.FreeObject(dir, tx);
            tx.Commit();
            tx = null;
        }
        finally
        {
            EndFailed(tx);
            dir.Release();
        }
    }

    /// <summary>Empties an xattr directory, one file per transaction.</summary>
    private void DestroyEntries(Dnode dir)
    {
        Span<byte> buffer = stackalloc byte[ZapLimits.NameMax + 1];
        while (true)
        {
            var cursor = new ZapCursor(dir, buffer, 0);
            if (!cursor.MoveNext())
            {
                return;
            }

            DestroyEntry(dir, cursor.Name, cursor.Value & EntryObjectMask);
        }
    }

    private void DestroyEntry(Dnode dir, ReadOnlySpan<byte> name, ulong obj)
    {
        Dnode? file = _os.TryHoldObject(obj);
        bool ours = file is not null && file.Type == DmuOt.PlainFileContents && file.BonusLength >= ZnodePhys.SizeOf && IsXattrObject(file);
        DmuTx? tx = null;
        try
        {
            if (ours)
            {
                FreeData(file!, 0);
            }

            tx = DmuTx.Create(_txg);
            tx.HoldZap(dir, add: false);
            HoldFreeOptional(ours ? file : null, tx);
            tx.MarkNetFree();
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                throw new ZfsException(error, $"object {obj} can't be freed");
            }

            error = Zap.Remove(dir, name, tx);
            FreeOptional(ours ? file : null, tx);
            tx.Commit();
            tx = null;
            if (error != 0)
            {
                throw new ZfsException(Errno.EIO, $"object {dir.Object}: a name just found can't be removed (error {error})");
            }
        }
        finally
        {
            EndFailed(tx);
            file?.Release();
        }
    }
}
