using System.Numerics;
using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Contents of files: open, read, write, symbolic links.</summary>
/// <remarks>
/// Copies of a byte: a read copies once, from the cached block to the caller; a write once, from the caller to the block.
/// Whole records are copied into loaned buffers before the transaction is assigned, which then only hands them over; other
/// writes copy inside it, into blocks that were brought in before (<see cref="PartialBlocks"/>). So a write takes no block's memory
/// inside its transaction.
/// </remarks>
public sealed unsafe partial class Zfsvfs
{
    /// <summary>Largest write of one transaction.</summary>
    private const int WriteChunk = 1 << 20;

    /// <summary>Records at least this large are loaned.</summary>
    private const int LoanMinBytes = 16 << 10;

    private const int LoansMax = WriteChunk / LoanMinBytes;

    /// <summary>A handle was opened on the object; the znode stays until the matching Close. With truncate the file becomes empty.</summary>
    public int Open(ulong obj, bool truncate)
    {
        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            int error = _cache.Get(obj, out z);
            if (error == 0 && truncate)
            {
                error = IsReadOnly ? Errno.EROFS : SetSize(z!, 0, killSuidgid: false);
                error = error == 0 ? CommitIfAlways(obj) : error;
            }

            if (error == 0)
            {
                _cache.Open(z!);
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

    /// <summary>Ends a handle; the last one of an unlinked file frees it. EBADF if none is open.</summary>
    public int Close(ulong obj)
    {
        using FstransCookie mark = Fstrans.MarkEntry();
        return _cache.Close(obj);
    }

    /// <summary>True if an open should keep the kernel's page cache: atime off, or relatime with no update due.</summary>
    public bool KeepCache(ulong obj)
    {
        if (Atime != AtimeMode.Relatime)
        {
            return Atime == AtimeMode.Off;
        }

        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            if (_cache.Get(obj, out z) != 0)
            {
                return false;
            }

            long now = Kmem.Spl.Kclock.WallTime().Seconds;
            z!.Lock.Enter();
            bool due = IsAtimeDue(z, now);
            z.Lock.Exit();
            return !due;
        }
        catch (ZfsException)
        {
            return false;
        }
        finally
        {
            Put(z);
        }
    }

    /// <summary>Reads up to length bytes; 0 at the end of the file. Updates atime in memory, unless told not to.</summary>
    public int Read(ulong obj, ulong offset, int length, byte* destination, out int done, bool noAtime = false)
    {
        done = 0;
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
                return z.IsDirectory ? Errno.EISDIR : Errno.EINVAL;
            }

            done = ReadRange(z, offset, length, destination);
            if (length > 0 && !noAtime)
            {
                StampAtime(z);
            }

            return 0;
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

    /// <summary>
    /// Writes; done may be less than length if space ran out on the way. EFBIG beyond 2^63 − 1.
    /// </summary>
    public int Write(ulong obj, ulong offset, int length, byte* source, ZplWriteFlags flags, out int done)
    {
        done = 0;
        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        if (length < 0 || offset > long.MaxValue || (ulong)length > long.MaxValue - offset)
        {
            return length < 0 ? Errno.EINVAL : Errno.EFBIG;
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
                return z.IsDirectory ? Errno.EISDIR : Errno.EINVAL;
            }

            error = length == 0 ? 0 : WriteRange(z, offset, length, source, flags, ref done);
            if (error == 0 && done > 0)
            {
                error = (flags & ZplWriteFlags.Sync) != 0 ? CommitLog(z) : CommitIfAlways(obj);
                done = error == 0 ? done : 0;
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

    /// <summary>Target of a symbolic link. ERANGE if there is too little room, EINVAL if it is none.</summary>
    public int ReadLink(ulong obj, Span<byte> target, out int length)
    {
        length = 0;
        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? z = null;
        try
        {
            int error = _cache.Get(obj, out z);
            if (error != 0)
            {
                return error;
            }

            if (!ZplMode.IsType(z!.Mode, ZplMode.Link))
            {
                return Errno.EINVAL;
            }

            error = ReadTarget(z, target, out length);
            StampAtime(z);
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

    private static int ReadTarget(Znode z, Span<byte> target, out int length)
    {
        Dnode dn = z.Dnode!;
        ulong size = z.Phys->Size;
        length = 0;
        if (size > SymlinkMax)
        {
            return Errno.EIO;
        }

        if (size > (ulong)target.Length)
        {
            return Errno.ERANGE;
        }

        length = (int)size;
        if (dn.BonusLength > ZnodePhys.SizeOf)
        {
            if (length > dn.BonusLength - ZnodePhys.SizeOf)
            {
                return Errno.EIO;
            }

            new ReadOnlySpan<byte>(dn.Bonus + ZnodePhys.SizeOf, length).CopyTo(target);
            return 0;
        }

        fixed (byte* p = target)
        {
            dn.Read(0, length, p);
        }

        return 0;
    }

    private int ReadRange(Znode z, ulong offset, int length, byte* destination)
    {
        if (length <= 0 || offset > long.MaxValue)
        {
            return 0;
        }

        RangeLockEntry range = z.Range.Enter(_ranges, offset, offset + (ulong)length, writer: false);
        try
        {
            ulong size = SizeOf(z);
            if (offset >= size)
            {
                return 0;
            }

            var n = (int)Math.Min((ulong)length, size - offset);
            z.Dnode!.Read(offset, n, destination);
            return n;
        }
        finally
        {
            z.Range.Exit(_ranges, range);
        }
    }

    private static ulong SizeOf(Znode z)
    {
        z.Lock.Enter();
        ulong size = z.Phys->Size;
        z.Lock.Exit();
        return size;
    }

    private int WriteRange(Znode z, ulong offset, int length, byte* source, ZplWriteFlags flags, ref int done)
    {
        ulong end = offset + (ulong)length;
        RangeLockEntry range = z.Range.Enter(_ranges, offset, end, writer: true);
        if (GrownBlockSize(z, end) != 0)
        {
            // The block size changes under everybody: take all of the file. Another writer may have done it meanwhile.
            z.Range.Exit(_ranges, range);
            range = z.Range.Enter(_ranges, 0, ulong.MaxValue, writer: true);
        }

        try
        {
            int error = 0;
            while (done < length && error == 0)
            {
                ulong at = offset + (ulong)done;
                int n = Math.Min(length - done, WriteChunk - (int)(at % WriteChunk));
                int grown = GrownBlockSize(z, end);
                error = IsOverQuota(z) ? Errno.EDQUOT
                    : grown != 0
                    ? WriteGrowing(z, at, ref n, grown, source + done, flags)
                    : WriteChunkTo(z, at, n, source + done, flags);
                done += error == 0 ? n : 0;
            }

            return done > 0 ? 0 : error;
        }
        catch (ZfsException) when (done > 0)
        {
            // What was written stays; the next call meets the error again.
            return 0;
        }
        finally
        {
            z.Range.Exit(_ranges, range);
        }
    }

    /// <summary>
    /// The block size that a file needs to reach <paramref name="end"/>; 0: it stays (format sheet §7.5). A file of one block grows
    /// that block up to the record size; with more blocks, or at the record size, it is fixed.
    /// </summary>
    private int GrownBlockSize(Znode z, ulong end)
    {
        Dnode dn = z.Dnode!;
        int now = dn.BlockSize;
        bool odd = !BitOperations.IsPow2(now);
        if (end <= (ulong)now || dn.MaxBlockId > 0 || dn.Levels > 1 || (!odd && (now >= RecordSize || SizeOf(z) > (ulong)now)))
        {
            return 0;
        }

        ulong most = now > RecordSize ? BitOperations.RoundUpToPowerOf2((uint)now) : (ulong)RecordSize;
        var grown = (int)((Math.Min(end, most) + 511) & ~511UL);
        return grown == now ? 0 : grown;
    }

    /// <summary>One transaction of a write.</summary>
    private int WriteChunkTo(Znode z, ulong offset, int length, byte* source, ZplWriteFlags flags)
    {
        Dnode dn = z.Dnode!;
        byte** loans = stackalloc byte*[LoansMax];
        int loaned = LoanWholeRecords(dn, offset, length, source, loans, out ulong firstLoan);
        int used = 0;
        DmuTx? tx = null;
        PartialBlocks partial = default;
        try
        {
            partial.Take(dn, offset, (ulong)length, toFree: false);
            int error = AssignWrite(dn, offset, length, 0, partial, ref tx);
            if (error != 0)
            {
                return error;
            }

            StoreChunk(dn, offset, length, source, loans, loaned, firstLoan, ref used, tx!);
            FinishWrite(z, offset, (ulong)length, flags, tx!);
            tx!.Commit();
            tx = null;
            return 0;
        }
        finally
        {
            EndFailed(tx);
            partial.Release();
            for (int i = used; i < loaned; i++)
            {
                dn.ReturnBuffer(loans[i]);
            }
        }
    }

    /// <summary>The transaction of a write that makes the file's one block larger, and writes as much as lies in it.</summary>
    private int WriteGrowing(Znode z, ulong offset, ref int length, int grown, byte* source, ZplWriteFlags flags)
    {
        Dnode dn = z.Dnode!;
        length = offset >= (ulong)grown ? 0 : (int)Math.Min((ulong)length, (ulong)grown - offset);
        DmuTx? tx = null;
        PartialBlocks partial = default;
        byte* buffer = dn.LoanBuffer(grown);
        try
        {
            partial.Take(dn, 0, 1, toFree: true);
            int error = AssignWrite(dn, offset, length, grown, partial, ref tx);
            if (error != 0)
            {
                return error;
            }

            dn.SetBlockSize(grown, tx!, ref buffer);
            if (length > 0)
            {
                dn.Write(offset, length, source, tx!);
                FinishWrite(z, offset, (ulong)length, flags, tx!);
            }

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

    private int AssignWrite(Dnode dn, ulong offset, int length, int grown, in PartialBlocks partial, ref DmuTx? tx)
    {
        while (true)
        {
            tx = DmuTx.Create(_txg);
            tx.HoldBonus(dn);
            tx.HoldWrite(dn, offset, length);
            if (grown != 0)
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

    /// <summary>Copies the whole records of a write into loaned buffers. Returns how many.</summary>
    private static int LoanWholeRecords(Dnode dn, ulong offset, int length, byte* source, byte** loans, out ulong firstBlock)
    {
        var size = (ulong)dn.BlockSize;
        firstBlock = (offset + size - 1) / size;
        ulong endBlock = (offset + (ulong)length) / size;
        if (size < LoanMinBytes || endBlock <= firstBlock)
        {
            return 0;
        }

        int n = 0;
        for (ulong b = firstBlock; b < endBlock; b++)
        {
            byte* buffer = dn.LoanBuffer();
            loans[n++] = buffer;
            Buffer.MemoryCopy(source + ((b * size) - offset), buffer, (long)size, (long)size);
        }

        return n;
    }

    /// <summary>Puts the bytes in place: the part before the loans, the loans, the part after.</summary>
    private static void StoreChunk(Dnode dn, ulong offset, int length, byte* source, byte** loans, int loaned, ulong firstLoan, ref int used, DmuTx tx)
    {
        if (loaned == 0)
        {
            dn.Write(offset, length, source, tx);
            return;
        }

        var size = (ulong)dn.BlockSize;
        ulong loansStart = firstLoan * size;
        ulong loansEnd = loansStart + ((ulong)loaned * size);
        ulong end = offset + (ulong)length;
        if (offset < loansStart)
        {
            dn.Write(offset, (long)(loansStart - offset), source, tx);
        }

        while (used < loaned)
        {
            byte* buffer = loans[used];
            ulong block = firstLoan + (ulong)used;
            used++;
            dn.AssignBuffer(block, buffer, tx);
        }

        if (end > loansEnd)
        {
            dn.Write(loansEnd, (long)(end - loansEnd), source + (loansEnd - offset), tx);
        }
    }

    private void FinishWrite(Znode z, ulong offset, ulong length, ZplWriteFlags flags, DmuTx tx)
    {
        ulong end = offset + length;
        Zilog? log = LogOf(z);
        log?.LogWrite(tx, z.Object, offset, length);
        z.Dnode!.DirtyBonus(tx);
        bool mayKill = (flags & ZplWriteFlags.KillSuidgid) != 0;
        Itx* itx = mayKill && log is not null ? log.PrepareSetAttr(tx) : null;
        z.Lock.Enter();
        ulong size = _replayEnd == 0 ? end : Math.Min(end, _replayEnd);
        if (size > z.Phys->Size)
        {
            z.Phys->Size = size;
        }

        if (mayKill)
        {
            KillSetId(z);
            log?.LogSetAttr(tx, itx, z.Object, SetAttrMask.Mode, z.Phys);
        }

        if ((flags & ZplWriteFlags.Cached) != 0 && WasTouchedLately(z))
        {
            FlushAtime(z);
            z.LastTxg = tx.Txg;
        }
        else
        {
            TouchContents(z, tx);
        }

        z.Lock.Exit();
    }

    private static void KillSetId(Znode z)
    {
        uint mode = ZplMode.WithoutSetId(z.Mode);
        if (mode != z.Mode)
        {
            ZplAcl.SetMode(z.Phys, mode);
        }
    }
}
