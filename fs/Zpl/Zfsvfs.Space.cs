using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Sizes and holes: truncate, fallocate, lseek; and the whole file system: statfs, fsync, sync.</summary>
public sealed unsafe partial class Zfsvfs
{
    private const int FallocateKeepSize = 1;
    private const int FallocatePunchHole = 2;
    private const int FallocateZeroRange = 16;
    private const int SeekData = 3;
    private const int SeekHole = 4;

    /// <summary>fallocate(2): mode 0 and KEEP_SIZE (1) reserve nothing but succeed as far as size goes; PUNCH_HOLE (2) and ZERO_RANGE (16).</summary>
    public int Fallocate(ulong obj, int mode, ulong offset, ulong length)
    {
        const int Known = FallocateKeepSize | FallocatePunchHole | FallocateZeroRange;
        bool punch = (mode & FallocatePunchHole) != 0;
        bool zero = (mode & FallocateZeroRange) != 0;
        if ((mode & ~Known) != 0 || (punch && zero) || (punch && (mode & FallocateKeepSize) == 0))
        {
            return Errno.EOPNOTSUPP;
        }

        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        if (length == 0 || offset > long.MaxValue || length > long.MaxValue - offset)
        {
            return length == 0 ? Errno.EINVAL : Errno.EFBIG;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            int error = _cache.Get(obj, out z);
            if (error != 0)
            {
                return error;
            }

            if (!z!.IsRegular)
            {
                return z.IsDirectory ? Errno.EISDIR : Errno.ENODEV;
            }

            if (IsImmutable(z) || (IsFixed(z) && (punch || zero)))
            {
                return Errno.EPERM;
            }

            error = AllocateRange(z, offset, length, punch || zero, (mode & FallocateKeepSize) != 0);
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

    /// <summary>lseek SEEK_DATA 3, SEEK_HOLE 4. ENXIO: at or past the end, or no more data.</summary>
    public int Seek(ulong obj, int whence, ulong offset, out ulong result)
    {
        result = 0;
        if (whence is not (SeekData or SeekHole))
        {
            return Errno.EINVAL;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            int error = _cache.Get(obj, out z);
            if (error != 0)
            {
                return error;
            }

            return z!.IsRegular ? FindOffset(z, whence == SeekHole, offset, out result) : Errno.EINVAL;
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

    /// <summary>Waits until everything about the object is on stable storage. EIO if the pool can't write; EINPROGRESS: the waiter is told.</summary>
    public int Fsync(ulong obj, FsyncWaiter? waiter = null)
    {
        using FstransCookie mark = Fstrans.MarkEntry();
        try
        {
            int error = _cache.Get(obj, out Znode? z);
            if (error != 0 || IsReadOnly)
            {
                Put(z);
                return error;
            }

            // Whoever writes for others may be at it for long: not with a reference to the file.
            bool needed = NeedsCommit(z!);
            Put(z);
            return needed ? _log!.Commit(obj, waiter) : SuspendedError();
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
    }

    /// <summary>Everything that was written before the call is on stable storage after it, access times included.</summary>
    public int SyncFs()
    {
        if (IsReadOnly)
        {
            return 0;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        try
        {
            _cache.WriteAtimes();
            return WaitSynced(0);
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
    }

    /// <summary>statfs(2).</summary>
    public int StatFs(out StatFs stat)
    {
        const uint Unit = 512;
        using FstransCookie mark = Fstrans.MarkEntry();
        _os.GetSpace(out ulong used, out ulong available);
        ulong objects = _os.ObjectCount;
        stat = new StatFs
        {
            BlockSize = Unit,
            RecordSize = (uint)RecordSize,
            Blocks = (used + available) / Unit,
            BlocksFree = available / Unit,
            BlocksAvailable = available / Unit,
            FilesFree = available / Unit,
            Files = objects + (available / Unit),
            NameMax = (uint)MaxNameLength,
        };
        return 0;
    }

    /// <summary>What was done to a file is on stable storage afterwards.</summary>
    private int CommitLog(Znode z) => NeedsCommit(z) ? _log!.Commit(z.Object) : SuspendedError();

    private bool NeedsCommit(Znode z)
    {
        z.Lock.Enter();
        ulong txg = z.LastTxg;
        z.Lock.Exit();
        return txg > _txg.SyncedTxg && _log!.Mode != SyncMode.Disabled;
    }

    /// <summary>With sync=always every change ends here.</summary>
    private int CommitIfAlways(ulong obj) => _log is { Mode: SyncMode.Always, ReplayingSeq: 0 } log ? log.Commit(obj) : 0;

    private int WaitSynced(ulong txg)
    {
        _txg.WaitSynced(txg);
        return SuspendedError();
    }

    private int SuspendedError() => _os.Spa.HasFailed ? Errno.EIO : 0;

    /// <summary>Makes a file shorter or longer.</summary>
    private int SetSize(Znode z, ulong size, bool killSuidgid)
    {
        if (!z.IsRegular)
        {
            return z.IsDirectory ? Errno.EISDIR : Errno.EINVAL;
        }

        if (size > long.MaxValue)
        {
            return Errno.EFBIG;
        }

        RangeLockEntry range = z.Range.Enter(_ranges, 0, ulong.MaxValue, writer: true);
        try
        {
            return SetSizeLocked(z, size, killSuidgid);
        }
        finally
        {
            z.Range.Exit(_ranges, range);
        }
    }

    /// <summary>Under the whole file's range lock.</summary>
    private int SetSizeLocked(Znode z, ulong size, bool killSuidgid)
    {
        Dnode dn = z.Dnode!;
        bool shrinks = size < SizeOf(z);
        int grown = shrinks ? 0 : GrownBlockSize(z, size);
        if (shrinks)
        {
            FreeData(dn, size);
        }

        DmuTx? tx = null;
        PartialBlocks partial = default;
        byte* buffer = null;
        try
        {
            if (shrinks)
            {
                partial.Take(dn, size, ulong.MaxValue, toFree: true);
            }
            else if (grown != 0 && dn.IsStored(0))
            {
                partial.Take(dn, 0, 1, toFree: true);
                buffer = dn.LoanBuffer(grown);
            }

            int error = AssignSetSize(dn, size, shrinks, grown, partial, ref tx);
            if (error != 0)
            {
                return error;
            }

            if (shrinks)
            {
                dn.FreeRange(size, ulong.MaxValue, tx!);
            }
            else if (grown != 0)
            {
                dn.SetBlockSize(grown, tx!, ref buffer);
            }

            StoreSize(z, size, killSuidgid, tx!);
            tx!.Commit();
            tx = null;
            return 0;
        }
        finally
        {
            EndFailed(tx);
            partial.Release();
            if (buffer is not null)
            {
                dn.ReturnBuffer(buffer, grown);
            }
        }
    }

    private int AssignSetSize(Dnode dn, ulong size, bool shrinks, int grown, in PartialBlocks partial, ref DmuTx? tx)
    {
        while (true)
        {
            tx = DmuTx.Create(_txg);
            tx.HoldBonus(dn);
            if (shrinks)
            {
                tx.HoldFree(dn, size, ulong.MaxValue);
                tx.MarkNetFree();
            }
            else if (grown != 0)
            {
                tx.HoldWrite(dn, 0, grown);
            }

            int error = tx.Assign(TxAssign.Wait);
            if (error != 0 || partial.IsReady(tx.Txg))
            {
                return error;
            }

            tx.Commit();
            tx = null;
            partial.TakeSpares();
        }
    }

    private void StoreSize(Znode z, ulong size, bool killSuidgid, DmuTx tx)
    {
        Zilog? log = LogOf(z);
        log?.LogTruncate(tx, z.Object, size, 0);
        z.Dnode!.DirtyBonus(tx);
        Itx* itx = killSuidgid && log is not null ? log.PrepareSetAttr(tx) : null;
        z.Lock.Enter();
        z.Phys->Size = size;
        if (killSuidgid)
        {
            KillSetId(z);
            log?.LogSetAttr(tx, itx, z.Object, SetAttrMask.Mode, z.Phys);
        }

        TouchContents(z, tx);
        z.Lock.Exit();
    }

    private int AllocateRange(Znode z, ulong offset, ulong length, bool clear, bool keepSize)
    {
        RangeLockEntry range = z.Range.Enter(_ranges, 0, ulong.MaxValue, writer: true);
        try
        {
            ulong size = SizeOf(z);
            ulong end = offset + length;
            if (!clear)
            {
                _os.GetSpace(out _, out ulong available);
                if (length > available)
                {
                    return Errno.ENOSPC;
                }
            }
            else if (offset < size)
            {
                int error = ClearRange(z, offset, Math.Min(end, size));
                if (error != 0)
                {
                    return error;
                }
            }

            return !keepSize && end > size ? SetSizeLocked(z, end, killSuidgid: false) : 0;
        }
        finally
        {
            z.Range.Exit(_ranges, range);
        }
    }

    /// <summary>Makes a range read as zeros, piece by piece.</summary>
    private int ClearRange(Znode z, ulong from, ulong end)
    {
        Dnode dn = z.Dnode!;
        ulong chunk = FreeChunkBlocks * (ulong)dn.BlockSize;
        bool more = true;
        while (more)
        {
            // Skip what is a hole already; the last round changes at least the times.
            ulong start = dn.NextOffset(from, hole: false, out ulong data) ? Math.Min(data, end) : end;
            ulong stop = Math.Min(end, start + chunk);
            more = stop < end;
            int error = ClearPiece(z, start, stop);
            if (error != 0)
            {
                return error;
            }

            from = stop;
        }

        return 0;
    }

    private int ClearPiece(Znode z, ulong start, ulong stop)
    {
        Dnode dn = z.Dnode!;
        DmuTx? tx = null;
        PartialBlocks partial = default;
        try
        {
            if (stop > start)
            {
                partial.Take(dn, start, stop - start, toFree: true);
            }

            int error = AssignClear(dn, start, stop, partial, ref tx);
            if (error != 0)
            {
                return error;
            }

            if (stop > start)
            {
                dn.FreeRange(start, stop - start, tx!);
                LogOf(z)?.LogTruncate(tx!, z.Object, start, stop - start);
            }

            dn.DirtyBonus(tx!);
            z.Lock.Enter();
            TouchContents(z, tx!);
            z.Lock.Exit();
            tx!.Commit();
            tx = null;
            return 0;
        }
        finally
        {
            EndFailed(tx);
            partial.Release();
        }
    }

    private int AssignClear(Dnode dn, ulong start, ulong stop, in PartialBlocks partial, ref DmuTx? tx)
    {
        while (true)
        {
            tx = DmuTx.Create(_txg);
            tx.HoldBonus(dn);
            tx.HoldFree(dn, start, stop - start);
            tx.HoldWrite(dn, start, 1);
            tx.HoldWrite(dn, stop, 1);
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0 || partial.IsReady(tx.Txg))
            {
                return error;
            }

            tx.Commit();
            tx = null;
            partial.TakeSpares();
        }
    }

    private int FindOffset(Znode z, bool hole, ulong offset, out ulong result)
    {
        result = 0;
        RangeLockEntry range = z.Range.Enter(_ranges, 0, ulong.MaxValue, writer: false);
        try
        {
            ulong size = SizeOf(z);
            if (offset >= size)
            {
                return Errno.ENXIO;
            }

            bool found = z.Dnode!.NextOffset(offset, hole, out ulong at) && at < size;
            if (!found && !hole)
            {
                return Errno.ENXIO;
            }

            if (!found)
            {
                // What lies behind the last block is a hole too.
                at = Math.Max(offset, (z.Dnode!.MaxBlockId + 1) * (ulong)z.Dnode.BlockSize);
            }

            result = Math.Min(at, size);
            return 0;
        }
        finally
        {
            z.Range.Exit(_ranges, range);
        }
    }
}
