using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Removing names, and what happens to a file that has lost its last one.</summary>
public sealed unsafe partial class Zfsvfs
{
    /// <summary>Files of at most this many blocks are freed in the transaction that removes their last name.</summary>
    private const int FreeNowBlocks = 64;

    /// <summary>Blocks freed in one transaction: what sixteen indirect blocks point to.</summary>
    private const ulong FreeChunkBlocks = 2048;

    /// <summary>Objects of the delete queue, or of an xattr directory, taken at a time.</summary>
    private const int DrainBatch = 32;

    /// <summary>Removes the name of anything but a directory.</summary>
    public int Unlink(ulong dir, ReadOnlySpan<byte> name) => RemoveName(dir, name, isRmdir: false);

    /// <summary>Removes an empty directory.</summary>
    public int Rmdir(ulong dir, ReadOnlySpan<byte> name) => RemoveName(dir, name, isRmdir: true);

    /// <summary>
    /// The last reference to an unlinked file is gone: frees it. An error leaves it in the delete queue, for the next mount.
    /// </summary>
    internal void FreeUnlinked(Znode z)
    {
        if (IsReadOnly)
        {
            return;
        }

        try
        {
            DestroyObject(z.Dnode!, z.Object);
        }
        catch (ZfsException)
        {
            // It stays in the delete queue; whoever closed the file has nothing to do with it.
        }
    }

    private int RemoveName(ulong dir, ReadOnlySpan<byte> name, bool isRmdir)
    {
        int error = IsReadOnly ? Errno.EROFS : CheckName(name);
        if (error == 0 && (IsDot(name) || IsDotDot(name)))
        {
            error = isRmdir && IsDotDot(name) ? Errno.ENOTEMPTY : isRmdir ? Errno.EINVAL : Errno.EISDIR;
        }

        if (error != 0)
        {
            return error;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? dz = null;
        try
        {
            error = GetDirectory(dir, out dz);
            bool waited = false;
            while (error == 0)
            {
                Znode? z = null;
                DmuTx? retry;
                try
                {
                    error = TryRemove(dz!, name, isRmdir, waited, out z, out retry);
                }
                finally
                {
                    Put(z);
                }

                if (error != Errno.ERESTART)
                {
                    break;
                }

                WaitAndAbort(retry!);
                waited = true;
                error = 0;
            }

            return error == 0 ? CommitIfAlways(dir) : error;
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
        finally
        {
            Put(dz);
        }
    }

    private int TryRemove(Znode dz, ReadOnlySpan<byte> name, bool isRmdir, bool waited, out Znode? z, out DmuTx? retry)
    {
        retry = null;
        DmuTx? tx = null;
        bool childLocked = false;
        z = null;
        dz.NameLock.EnterWrite();
        try
        {
            int error = LookupLocked(dz, name, out _, out z);
            if (error == 0)
            {
                error = !isRmdir ? (z!.IsDirectory ? Errno.EISDIR : 0) : z!.IsDirectory ? CheckChild(dz, z) : Errno.ENOTDIR;
            }

            if (error == 0)
            {
                error = MayUnname(dz, z!);
            }

            if (error == 0 && isRmdir)
            {
                z!.NameLock.EnterWriteNested(1);
                childLocked = true;
                error = IsEmpty(z) ? 0 : Errno.ENOTEMPTY;
            }

            if (error != 0)
            {
                return error;
            }

            tx = DmuTx.Create(_txg);
            tx.HoldZap(dz.Dnode!, add: false);
            tx.HoldBonus(dz.Dnode!);
            HoldUnlink(z!, tx);
            error = tx.Assign(Retrying(waited));
            if (error != 0)
            {
                return Refused(ref tx, error, out retry);
            }

            RemoveEntry(dz, name, tx);
            TouchDirectory(dz, -1, isRmdir ? -1 : 0, tx);
            DropLink(z!, tx);
            _log?.LogRemove(tx, isRmdir ? ZilTx.RemoveDirectory : ZilTx.Remove, dz.Object, name, z!.Object, z.Unlinked);
            tx.Commit();
            tx = null;
            return 0;
        }
        finally
        {
            EndFailed(tx);
            if (childLocked)
            {
                z!.NameLock.Exit();
            }

            dz.NameLock.Exit();
        }
    }

    private static bool IsEmpty(Znode dz) => Zap.Count(dz.Dnode!) == 0;

    /// <summary>What <see cref="DropLink"/> may change.</summary>
    private void HoldUnlink(Znode z, DmuTx tx)
    {
        tx.HoldBonus(z.Dnode!);
        tx.HoldFree(z.Dnode!, 0, ulong.MaxValue);
        tx.HoldZap(_deleteQueue!, add: true);
        tx.MarkNetFree();
    }

    /// <summary>
    /// One name less (all of them, for a directory). If it was the last: a small file that nobody uses is freed here and now; any
    /// other goes to the delete queue, and is freed with its last reference.
    /// </summary>
    private void DropLink(Znode z, DmuTx tx)
    {
        z.Dnode!.DirtyBonus(tx);
        z.Lock.Enter();
        bool isDirectory = z.IsDirectory;
        z.Phys->Links = isDirectory ? 0 : z.Phys->Links - 1;
        TouchAttributes(z, tx);
        bool last = z.Phys->Links == 0;
        bool small = z.Phys->Xattr == 0 && z.Phys->AclExternObject == 0 && z.Dnode.MaxBlockId < FreeNowBlocks;
        z.Unlinked = last;
        z.Lock.Exit();
        if (!last)
        {
            return;
        }

        if (small && _cache.TryKill(z))
        {
            _os.FreeObject(z.Dnode, tx);
            return;
        }

        int error = Zap.AddInt(_deleteQueue!, z.Object, z.Object, tx);
        if (error is not (0 or Errno.EEXIST))
        {
            throw new ZfsException(Errno.EIO, $"object {z.Object} can't be entered in the delete queue (error {error})");
        }
    }

    /// <summary>Frees what a crash left unlinked.</summary>
    private void DrainDeleteQueue()
    {
        Span<ulong> batch = stackalloc ulong[DrainBatch];
        Span<byte> buffer = stackalloc byte[ZapLimits.NameMax + 1];
        ulong cookie = 0;
        while (true)
        {
            int n = 0;
            var cursor = new ZapCursor(_deleteQueue!, buffer, cookie);
            while (n < DrainBatch && cursor.MoveNext())
            {
                batch[n++] = cursor.Value;
                cookie = cursor.NextCookie;
            }

            foreach (ulong obj in batch[..n])
            {
                DrainOne(obj);
            }

            if (n < DrainBatch)
            {
                return;
            }
        }
    }

    private void DrainOne(ulong obj)
    {
        Dnode? dn = _os.TryHoldObject(obj);
        if (dn is null)
        {
            ForgetQueued(obj);
            return;
        }

        try
        {
            // An entry of a file that still has names would be damage: such a file is not freed.
            if (dn.BonusType == DmuOt.Znode && dn.BonusLength >= ZnodePhys.SizeOf && (((ZnodePhys*)dn.Bonus)->Links == 0 || IsXattrObject(dn)))
            {
                DestroyObject(dn, obj);
            }
        }
        finally
        {
            dn.Release();
        }
    }

    private static bool IsXattrObject(Dnode dn) => (((ZnodePhys*)dn.Bonus)->Flags & ZnodePhys.FlagXattr) != 0;

    private void ForgetQueued(ulong key)
    {
        DmuTx tx = DmuTx.Create(_txg);
        tx.HoldZap(_deleteQueue!, add: false);
        tx.MarkNetFree();
        if (tx.Assign(TxAssign.Wait) != 0)
        {
            tx.Abort();
            return;
        }

        try
        {
            Zap.RemoveInt(_deleteQueue!, key, tx);
        }
        finally
        {
            tx.Commit();
        }
    }

    /// <summary>Frees an unlinked object with its extended attributes and takes it out of the delete queue.</summary>
    private void DestroyObject(Dnode dn, ulong queueKey)
    {
        var phys = (ZnodePhys*)dn.Bonus;
        bool isDirectory = dn.Type == DmuOt.DirectoryContents;
        if (phys->Xattr != 0 && !IsXattrObject(dn))
        {
            DestroyXattrs(dn, phys->Xattr);
        }

        if (isDirectory && IsXattrObject(dn))
        {
            DestroyEntries(dn);
        }

        if (!isDirectory)
        {
            FreeData(dn, 0);
        }

        Dnode? acl = HoldAcl(phys->AclExternObject);
        DmuTx? tx = DmuTx.Create(_txg);
        try
        {
            tx.HoldFree(dn, 0, ulong.MaxValue);
            tx.HoldZap(_deleteQueue!, add: false);
            HoldFreeOptional(acl, tx);
            tx.MarkNetFree();
            if (tx.Assign(TxAssign.Wait) != 0)
            {
                return;
            }

            FreeOptional(acl, tx);
            _os.FreeObject(dn, tx);
            Zap.RemoveInt(_deleteQueue!, queueKey, tx);
            tx.Commit();
            tx = null;
        }
        finally
        {
            EndFailed(tx);
            acl?.Release();
        }
    }

    /// <summary>Holds a file's access control list, if it is an object of its own; null: none, or the number is that of something else.</summary>
    private Dnode? HoldAcl(ulong obj)
    {
        Dnode? acl = obj == 0 ? null : _os.TryHoldObject(obj);
        if (acl is null or { Type: DmuOt.Acl or DmuOt.OldAcl })
        {
            return acl;
        }

        acl.Release();
        return null;
    }

    private static void HoldFreeOptional(Dnode? dn, DmuTx tx)
    {
        if (dn is not null)
        {
            tx.HoldFree(dn, 0, ulong.MaxValue);
        }
    }

    private void FreeOptional(Dnode? dn, DmuTx tx)
    {
        if (dn is not null)
        {
            _os.FreeObject(dn, tx);
        }
    }

    /// <summary>
    /// Frees the data from an offset on, except for a last part that one transaction can free: the caller's, with whatever else
    /// has to happen in it. Outside transactions.
    /// </summary>
    private void FreeData(Dnode dn, ulong from)
    {
        ulong chunk = FreeChunkBlocks * (ulong)dn.BlockSize;
        while (dn.NextOffset(from, hole: false, out ulong data))
        {
            ulong end = (dn.MaxBlockId + 1) * (ulong)dn.BlockSize;
            if (end - data <= chunk)
            {
                return;
            }

            DmuTx tx = DmuTx.Create(_txg);
            tx.HoldFree(dn, data, chunk);
            tx.MarkNetFree();
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                tx.Abort();
                throw new ZfsException(error, $"object {dn.Object} can't be truncated");
            }

            try
            {
                dn.FreeRange(data, chunk, tx);
            }
            finally
            {
                tx.Commit();
            }

            from = data + chunk;
        }
    }
}
