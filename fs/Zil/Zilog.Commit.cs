using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Writing the log.</summary>
internal sealed unsafe partial class Zilog
{
    /// <summary>With more data than this in one commit the txg is written: it does so with all processors, and in large pieces.</summary>
    private const long BulkBytes = 8 << 20;

    /// <summary>Larger writes are not copied into the log (zfs_immediate_write_sz): their blocks are written to their places.</summary>
    private const ulong CopyMax = 32 << 10;

    /// <summary>So many blocks of log are enough: then a txg is written.</summary>
    private const int BlocksMax = 8192;

    private bool _broken;
    private long _faultsSeen;

    // Open from the writing of the last block of a batch until it is flushed.
    private DmuTx? _lastTx;
    private byte* _buffer;
    private int _used;
    private int _records;
    private ulong _recordsTxg;
    private ulong _syncTxg;
    private int _lastTotal;
    private ulong _touchedVdevs;

    /// <summary>The records to be written, oldest txg first; and the last txg that has to be waited for. Lock held.</summary>
    private Itx* TakeBatch(out ulong mustSync)
    {
        mustSync = 0;
        Itx* head = null;
        Itx* tail = null;
        ulong synced = _txg.SyncedTxg;
        for (ulong txg = synced + 1; txg <= synced + TxgEngine.TxgSize; txg++)
        {
            ItxGroup group = _groups[TxgSlots<int>.Index(txg)];
            if (group.Txg != txg)
            {
                continue;
            }

            mustSync = group.MustSync ? txg : mustSync;
            Itx* list = group.TakeSync();
            if (list is null)
            {
                continue;
            }

            if (head is null)
            {
                head = list;
            }
            else
            {
                tail->Next = list;
            }

            for (tail = list; tail->Next is not null;)
            {
                tail = tail->Next;
            }
        }

        return head;
    }

    private int WriteBatch(Itx* batch, ulong mustSync)
    {
        _syncTxg = mustSync;
        if (batch is not null)
        {
            Log(batch);
            FreeList(batch);
        }

        if (_syncTxg > _txg.SyncedTxg)
        {
            _stats.Synced++;
            _txg.WaitSynced(_syncTxg);
        }

        return _spa.HasFailed ? Errno.EIO : 0;
    }

    /// <summary>Writes a batch; what it could not write is left to <see cref="_syncTxg"/>.</summary>
    private void Log(Itx* batch)
    {
        long total = Weigh(batch, out ulong newest, out long copied);
        if (_syncTxg >= newest || total == 0)
        {
            return;
        }

        if (_syncTxg != 0)
        {
            // The log must not tell of what came later without what came before.
            _txg.WaitSynced(_syncTxg);
        }

        _broken = (_broken || IsFaulty()) && Drop() != 0;
        if (_broken || total > BulkBytes || _blocks >= BlocksMax || (_head is null && !Begin(copied)))
        {
            _syncTxg = newest;
            return;
        }

        _buffer = ZioBuf.Alloc(ZilBlock.MaxSize, _buffers, out bool pooled);
        _used = ZilBlock.ChainSize;
        _records = 0;
        _recordsTxg = 0;
        _touchedVdevs = 0;
        _lastTotal = (int)copied;
        bool whole = AppendAll(batch, copied) && (_records == 0 || WriteBlock(Predict(), last: true));
        ZioBuf.Free(_buffer, ZilBlock.MaxSize, _buffers, pooled);
        _buffer = null;
        bool good = whole && FlushTouched();
        EndLast(good);
        if (!good)
        {
            _syncTxg = newest;
            _stats.Synced++;
            _broken = Drop() != 0;
        }

        _stats.Batches++;
    }


    /// <summary>Bytes of the records of txgs that are not on disk yet, with their data; and how many of them go into the log.</summary>
    private long Weigh(Itx* batch, out ulong newest, out long copied)
    {
        ulong synced = _txg.SyncedTxg;
        long total = 0;
        copied = 0;
        newest = 0;
        for (Itx* at = batch; at is not null; at = at->Next)
        {
            ZilRecord* r = Itx.RecordOf(at);
            if (r->Txg > synced)
            {
                newest = Math.Max(newest, r->Txg);
                total += (long)r->Length + (IsNeedCopy(r) ? (long)r->Word[2] : 0);
                copied += WeightOf(r);
            }
        }

        return total;
    }

    /// <summary>Is a write's data written to its place?</summary>
    private bool IsIndirect(ZilRecord* r) => Bias == LogBias.Throughput || (r->Word[2] > CopyMax && !_spa.Allocator.HasLogVdevs);

    /// <summary>Bytes that a record takes in the log.</summary>
    private long WeightOf(ZilRecord* r)
    {
        const long BlockMin = 32 << 10;
        return (long)r->Length + (!IsNeedCopy(r) ? 0 : IsIndirect(r) ? (long)r->Word[2] / BlockMin * ZilRecord.WriteSize : (long)r->Word[2]);
    }

    private static bool IsNeedCopy(ZilRecord* r) => r->Kind == ZilTx.Write && r->Length == ZilRecord.WriteSize;

    private bool AppendAll(Itx* batch, long total)
    {
        for (Itx* at = batch; at is not null; at = at->Next)
        {
            ZilRecord* r = Itx.RecordOf(at);
            if (r->Txg <= _txg.SyncedTxg)
            {
                continue;
            }

            long after = Math.Max(0, total - WeightOf(r));
            bool done = IsNeedCopy(r) ? AppendWrite(r, r->Word[1], (long)r->Word[2], after) : AppendCopy(at, after);
            if (!done)
            {
                return false;
            }

            total = after;
        }

        return true;
    }

    private bool AppendCopy(Itx* itx, long after)
    {
        ZilRecord* r = Itx.RecordOf(itx);
        long together = Math.Max((long)r->Length, itx->Together);
        if (_used + together > Capacity && !WriteBlock(SizeFor(together + after)))
        {
            return false;
        }

        byte* p = _buffer + _used;
        Buffer.MemoryCopy(r, p, (long)r->Length, (long)r->Length);
        Finish((ZilRecord*)p, (int)r->Length, r->Txg);
        return true;
    }

    /// <summary>A write: large blocks are written to their places, the rest is copied.</summary>
    private bool AppendWrite(ZilRecord* r, ulong offset, long length, long after)
    {
        bool indirect = IsIndirect(r);
        ulong end = offset + (ulong)length;
        while (offset < end)
        {
            ulong next = end;
            ulong blockEnd = offset;
            if (indirect && _fs.WriteBlockForLog(r->Word[0], offset, r->Txg, out blockEnd, out Blkptr bp))
            {
                next = Math.Min(end, blockEnd);
                if (!AppendPointer(r, offset, next - offset, bp, after))
                {
                    return false;
                }

                offset = next;
                continue;
            }

            if (indirect && _txg.SyncingTxg >= r->Txg)
            {
                // It is on its way to disk as it is. What comes later must not be in the log before it is there.
                return AwaitTxg(r->Txg);
            }

            next = indirect && blockEnd > offset ? Math.Min(end, blockEnd) : end;
            if (!AppendData(r, offset, (long)(next - offset), after + (long)(end - next)))
            {
                return false;
            }

            offset = next;
        }

        return true;
    }

    private bool AppendPointer(ZilRecord* r, ulong offset, ulong length, in Blkptr bp, long after)
    {
        if (_used + ZilRecord.WriteSize > Capacity && !WriteBlock(SizeFor(ZilRecord.WriteSize + after)))
        {
            return false;
        }

        var record = (ZilRecord*)(_buffer + _used);
        Buffer.MemoryCopy(r, record, ZilRecord.WriteSize, ZilRecord.WriteSize);
        record->Word[1] = offset;
        record->Word[2] = length;
        record->WriteBlock = bp;
        for (int i = 0; i < bp.DvaCount; i++)
        {
            _touchedVdevs |= 1UL << (int)(bp[i].Vdev % 64);
        }

        Finish(record, ZilRecord.WriteSize, r->Txg);
        _stats.Indirect++;
        return true;
    }

    /// <summary>Bytes of a write, read now, in as many records as blocks make necessary.</summary>
    private bool AppendData(ZilRecord* r, ulong offset, long length, long after)
    {
        const int PieceMin = 512;
        while (length > 0)
        {
            int room = Capacity - _used - ZilRecord.WriteSize;
            if (room < Math.Min(length, PieceMin))
            {
                if (!WriteBlock(SizeFor(ZilRecord.WriteSize + length + after)))
                {
                    return false;
                }

                continue;
            }

            var n = (int)Math.Min(length, room & ~7);
            byte* p = _buffer + _used;
            int error = _fs.ReadForLog(r->Word[0], offset, n, p + ZilRecord.WriteSize, out int done);
            if (error != 0)
            {
                return AwaitTxg(r->Txg);
            }

            Buffer.MemoryCopy(r, p, ZilRecord.WriteSize, ZilRecord.WriteSize);
            int padded = (done + 7) & ~7;
            new Span<byte>(p + ZilRecord.WriteSize + done, padded - done).Clear();
            var record = (ZilRecord*)p;
            record->Word[1] = offset;
            record->Word[2] = (ulong)done;
            Finish(record, ZilRecord.WriteSize + padded, r->Txg);
            if (done < n)
            {
                return AwaitTxg(r->Txg);
            }

            offset += (ulong)n;
            length -= n;
        }

        return true;
    }

    /// <summary>What can't be logged is waited for, here and now: the log must not tell of what came later without it.</summary>
    private bool AwaitTxg(ulong txg)
    {
        if (txg > _txg.SyncedTxg)
        {
            _stats.Synced++;
            _txg.WaitSynced(txg);
        }

        return !_spa.HasFailed;
    }

    private int Capacity => _tail->Bp.LogicalSize;

    private void Finish(ZilRecord* record, int length, ulong txg)
    {
        record->Length = (ulong)length;
        record->Seq = ++_seq;
        _used += length;
        _records++;
        _recordsTxg = Math.Max(_recordsTxg, txg);
        _stats.Records++;
    }

    /// <summary>Block sizes are those of ZFS.</summary>
    private static int SizeFor(long bytes) => (bytes + ZilBlock.ChainSize) switch
    {
        <= 4096 => 4096,
        <= 12288 => 12288,
        <= 36864 => 36864,
        _ => ZilBlock.MaxSize,
    };

    /// <summary>The next commit will probably be as large as this one.</summary>
    private int Predict() => SizeFor(_lastTotal);

    /// <summary>The first block of a chain. When it returns true the head is on disk.</summary>
    private bool Begin(long total)
    {
        Checksum256 chain = new(Krandom.NextUInt64(), Krandom.NextUInt64(), _os.Id, 1);
        Lwb* first = Allocate(SizeFor(total), chain, out DmuTx? tx);
        if (first is null)
        {
            return false;
        }

        tx!.Commit();
        _txg.WaitSynced(first->MaxTxg);
        return !_spa.HasFailed;
    }

    /// <summary>
    /// Allocates a block and appends it to the chain, in a transaction of its own, which the caller ends: a txg must not be on disk with a block to
    /// which nothing leads. Null: no space, no memory at once, or no pool to write to.
    /// </summary>
    private Lwb* Allocate(int size, in Checksum256 chain, out DmuTx? tx)
    {
        tx = null;
        var lwb = (Lwb*)_lwbs.Alloc(KmFlags.PushPage | KmFlags.NoSleep);
        if (lwb is null)
        {
            return null;
        }

        DmuTx own = DmuTx.Create(_txg);
        own.MarkNetFree();
        if (own.Assign(TxAssign.Wait | TxAssign.NoThrottle) != 0)
        {
            own.Abort();
            _lwbs.Free((byte*)lwb);
            return null;
        }

        Span<Dva> dvas = stackalloc Dva[1];
        if (!_spa.Allocator.TryAllocate(size, 1, own.Txg, dvas, log: true))
        {
            own.Commit();
            _lwbs.Free((byte*)lwb);
            return null;
        }

        *lwb = new Lwb { Bp = ZilBlock.MakePointer(dvas[0], size, own.Txg, chain), MaxTxg = own.Txg };
        Append(lwb);
        _spa.AddDirtyObjset(_os, own.Txg);
        tx = own;
        return lwb;
    }

    private void Append(Lwb* lwb)
    {
        _lock.Enter();
        if (_tail is null)
        {
            _head = lwb;
        }
        else
        {
            _tail->Next = lwb;
        }

        _tail = lwb;
        _blocks++;
        _lock.Exit();
    }

    /// <summary>Writes the block that is full (or the last of the batch), and goes on to the next, of that size.</summary>
    private bool WriteBlock(int nextSize, bool last = false)
    {
        Lwb* lwb = _tail;
        Lwb* next = Allocate(nextSize, ZilBlock.NextOf(lwb->Bp.Checksum), out DmuTx? tx);
        if (next is null)
        {
            return false;
        }

        int size = ZilBlock.Seal(_buffer, _used, lwb->Bp, next->Bp);
        Vdev vdev = _spa.VdevOf(lwb->Bp.Dva0);
        Span<IoSegment> segment = [new IoSegment((nint)_buffer, size)];

        // The last block is most often the only one. Written through, it does not wait for what a txg has written to that device.
        ulong mask = 1UL << (int)(vdev.Id % 64);
        bool through = last && (_touchedVdevs & mask) == 0;
        int error = vdev.WriteLog(lwb->Bp.Dva0.Offset, segment, through);
        NoteFault(vdev, error, "a write to");
        _lock.Enter();
        lwb->MaxTxg = Math.Max(lwb->MaxTxg, _recordsTxg);
        lwb->Written = 1;
        _stats.BlocksWritten++;
        _stats.BytesWritten += size;
        _lock.Exit();
        _touchedVdevs |= through ? 0 : mask;
        _used = ZilBlock.ChainSize;
        _records = 0;
        _recordsTxg = 0;
        _lastTx = tx;
        if (!last || error != 0)
        {
            EndLast(error == 0);
        }

        return error == 0;
    }

    /// <summary>
    /// The block that leads to the newest one is on disk, or may not be: then the chain, which has no record of a younger txg, is given up in the
    /// very txg that the newest one was allocated in.
    /// </summary>
    private void EndLast(bool good)
    {
        if (_lastTx is not { } tx)
        {
            return;
        }

        if (!good)
        {
            _lock.Enter();
            _dropTxg = tx.Txg;
            _lock.Exit();
        }

        _lastTx = null;
        tx.Commit();
    }

    private bool FlushTouched()
    {
        bool good = true;
        IReadOnlyList<Vdev> vdevs = _spa.Vdevs;
        for (int i = 0; i < vdevs.Count; i++)
        {
            Vdev v = vdevs[i];
            if ((_touchedVdevs & (1UL << (int)(v.Id % 64))) != 0)
            {
                int error = v.FlushLog();
                NoteFault(v, error, "a flush of");
                good &= error == 0;
            }
        }

        return good;
    }

    private void NoteFault(Vdev vdev, int error, string what)
    {
        if (error != 0 && vdev.IsLog)
        {
            _spa.FailLog(vdev, what, error);
        }
    }

    /// <summary>Has a log device failed since the chain was begun, somewhere else?</summary>
    private bool IsFaulty()
    {
        long faults = _spa.LogFaults;
        bool isNew = faults != _faultsSeen;
        _faultsSeen = faults;
        return isNew && _head is not null;
    }
}
