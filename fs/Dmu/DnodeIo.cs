using System.Runtime.CompilerServices;
using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>The open side of an object's contents: hold, read, write, free, resize.</summary>
public sealed unsafe partial class Dnode
{
    /// <summary>Holds a block, reading it if need be; a hole reads as zeros. Throws ZfsException (EIO).</summary>
    public Dbuf HoldBlock(ulong blockId)
    {
        Dbuf db = HoldUnread(blockId);
        if (db.State == DbufState.Cached)
        {
            Objset.Spa.Arc.Touch(db);
            return db;
        }

        db.Mutex.Enter();
        try
        {
            FillLocked(db);
        }
        catch
        {
            db.Mutex.Exit();
            db.Release();
            throw;
        }

        db.Mutex.Exit();
        return db;
    }

    /// <summary>Copies bytes out; blocks past the end read as zeros. One copy per byte.</summary>
    public void Read(ulong offset, long length, byte* destination)
    {
        int blockSize = BlockSize;
        if (MaxBlockId > 1)
        {
            Objset.Spa.Prefetcher.NoteRead(this, offset, length);
        }

        while (length > 0)
        {
            ulong blockId = offset / (ulong)blockSize;
            int within = (int)(offset - (blockId * (ulong)blockSize));
            int n = (int)Math.Min(length, blockSize - within);
            if (blockId > MaxBlockId)
            {
                new Span<byte>(destination, n).Clear();
            }
            else
            {
                ReadBlock(blockId, within, n, destination);
            }

            offset += (ulong)n;
            destination += n;
            length -= n;
        }
    }

    /// <summary>Copies bytes in, inside an assigned tx. Grows MaxBlockId as needed, never the block size. One copy per byte.</summary>
    public void Write(ulong offset, long length, byte* source, DmuTx tx)
    {
        int blockSize = BlockSize;
        while (length > 0)
        {
            ulong blockId = offset / (ulong)blockSize;
            int within = (int)(offset - (blockId * (ulong)blockSize));
            int n = (int)Math.Min(length, blockSize - within);
            WriteBlock(blockId, within, n, source, tx);
            offset += (ulong)n;
            source += n;
            length -= n;
        }
    }

    /// <summary>
    /// Makes a whole block's contents of a buffer from ZioBuf of exactly the block size: no copy. The buffer belongs to the
    /// cache afterwards. Get it from <see cref="ZfsLite.Fs.Arc.AllocBuffer"/> through <see cref="LoanBuffer"/>.
    /// </summary>
    public void AssignBuffer(ulong blockId, byte* buffer, DmuTx tx)
    {
        Dbuf db = HoldUnread(blockId);
        Arc arc = Objset.Spa.Arc;
        db.Mutex.Enter();
        try
        {
            if (db.State != DbufState.Cached)
            {
                arc.Filled(db, buffer, BlockSize);
                db.WillDirtyLocked(tx);
            }
            else
            {
                bool given = !HasDirty(db, tx.Txg) && db.GiveBufferToOlder(tx.Txg, copy: false, KmFlags.Sleep);
                byte* old = given ? null : db.Data;
                db.Data = buffer;
                db.WillDirtyLocked(tx);
                if (old is not null)
                {
                    arc.FreeBuffer(old, db.Size);
                }
            }
        }
        finally
        {
            db.Mutex.Exit();
        }

        db.Release();
    }

    /// <summary>A buffer of the block size for <see cref="AssignBuffer"/>; not inside a tx. Return it with <see cref="ReturnBuffer"/> if unused.</summary>
    public byte* LoanBuffer() => Objset.Spa.Arc.AllocBuffer(BlockSize, KmFlags.Sleep);

    /// <summary>A buffer for a block size to come.</summary>
    internal byte* LoanBuffer(int size) => Objset.Spa.Arc.AllocBuffer(size, KmFlags.Sleep);

    /// <summary>Gives an unused loan back.</summary>
    public void ReturnBuffer(byte* buffer) => ReturnBuffer(buffer, BlockSize);

    internal void ReturnBuffer(byte* buffer, int size) => Objset.Spa.Arc.FreeBuffer(buffer, size);

    /// <summary>Changes the block size; allowed while the object has at most block 0. Contents are kept, zero-extended.</summary>
    public void SetBlockSize(int size, DmuTx tx)
    {
        byte* none = null;
        SetBlockSize(size, tx, ref none);
    }

    /// <summary>As above, with a buffer of the new size from <see cref="LoanBuffer(int)"/>, which is null afterwards if it was used. If
    /// block 0 does not exist it stays a hole, and the buffer its contents in memory.</summary>
    internal void SetBlockSize(int size, DmuTx tx, ref byte* buffer)
    {
        if (MaxBlockId > 0 || _phys->Levels > 1 || size < 512 || size > 131072 || (size & 511) != 0)
        {
            throw new InvalidOperationException($"{HoldName}: block size {size} with highest block {MaxBlockId}");
        }

        if (size == BlockSize)
        {
            return;
        }

        if (!IsStored(0))
        {
            ResizeHole(size, tx, ref buffer);
            return;
        }

        Dbuf db = HoldBlock(0);
        db.Mutex.Enter();
        try
        {
            db.WillDirtyLocked(tx);
            Arc arc = Objset.Spa.Arc;
            byte* fresh = buffer is not null ? buffer : arc.AllocBuffer(size, tx.AllocFlags);
            buffer = null;
            int keep = Math.Min(size, db.Size);
            Buffer.MemoryCopy(db.Data, fresh, size, keep);
            new Span<byte>(fresh + keep, size - keep).Clear();
            byte* old = db.Data;
            int oldSize = db.Size;
            arc.Resize(db, size, fresh);
            arc.FreeBuffer(old, oldSize);
            ((DirtyRecord*)db.Dirty[TxgSlots<int>.Index(tx.Txg)])->Size = size;
            DnodeChange change = Dirty(tx);
            Mutex.Enter();
            change.BlockSize = size;
            BlockSize = size;
            Mutex.Exit();
        }
        finally
        {
            db.Mutex.Exit();
        }

        db.Release();
    }

    /// <summary>Frees a range: whole blocks become holes, parts of blocks zeros. ulong.MaxValue: to the end.</summary>
    public void FreeRange(ulong offset, ulong length, DmuTx tx)
    {
        bool toEnd = length == ulong.MaxValue || offset + length < offset;
        ulong end = toEnd ? ulong.MaxValue : offset + length;
        ulong bs = (ulong)BlockSize;
        ulong lastByte = MaxBlockId >= ulong.MaxValue / bs ? ulong.MaxValue : (MaxBlockId * bs) + bs;
        if (offset >= lastByte)
        {
            return;
        }

        toEnd |= end >= lastByte;
        ulong first = (offset + bs - 1) / bs;
        if (offset % bs != 0)
        {
            ulong stop = toEnd ? first * bs : Math.Min(first * bs, end);
            ZeroPart(offset, stop, tx);
        }

        if (!toEnd && end % bs != 0 && end / bs >= first)
        {
            ZeroPart(end - (end % bs), end, tx);
        }

        ulong last = toEnd ? ulong.MaxValue : (end / bs) - 1;
        if (!toEnd && end / bs <= first)
        {
            return;
        }

        DnodeChange change = Dirty(tx);
        ulong there = Math.Min(last, MaxBlockId) - Math.Min(first, MaxBlockId) + 1;
        ChargeFree(change, (long)Math.Min(there * bs * (ulong)Objset.CopiesFor(false), long.MaxValue));
        Mutex.Enter();
        change.Free.Add(first, last);
        if (toEnd)
        {
            MaxBlockId = first == 0 ? 0 : Math.Min(MaxBlockId, first - 1);
            long cut = first == 0 ? 0 : (long)(first - 1);
            change.TruncatedTo = change.TruncatedTo < 0 ? cut : Math.Min(change.TruncatedTo, cut);
        }

        Mutex.Exit();
        DropBlocks(first, last, tx.Txg);
    }

    /// <summary>Reads the block into memory if it is not there, for a later read. Errors are left to that read.</summary>
    internal void Prefetch(ulong blockId)
    {
        try
        {
            HoldBlock(blockId).Release();
        }
        catch (ZfsException)
        {
            // The reader that comes for it will see the error.
        }
    }

    internal Dbuf HoldUnread(ulong blockId) => Objset.Spa.Arc.Hold(this, 0, blockId);

    /// <summary>
    /// Drops cached level-0 blocks of a range: their contents end with this txg. A block that a reader is just filling counts too,
    /// since what it reads is what was freed.
    /// </summary>
    internal void DropBlocks(ulong first, ulong last, ulong txg)
    {
        DropBatch batch = default;
        int n;
        _listMutex.Enter();
        long pass = ++_dropPass;
        _listMutex.Exit();
        do
        {
            n = 0;
            _listMutex.Enter();
            for (Dbuf? db = _blocks; db is not null && n < DropBatch.Size; db = db.DnNext)
            {
                if (db.Level == 0 && db.BlockId >= first && db.BlockId <= last && db.DropPass < pass && Arc.TryHoldListed(db))
                {
                    db.DropPass = pass;
                    batch[n++] = db;
                }
            }

            _listMutex.Exit();
            for (int i = 0; i < n; i++)
            {
                DropOne(batch[i]!, txg);
                batch[i]!.Release();
            }
        }
        while (n == DropBatch.Size);
    }

    /// <summary>Fills an uncached block. Its Mutex is held.</summary>
    internal void FillLocked(Dbuf db)
    {
        if (db.State == DbufState.Cached)
        {
            Objset.Spa.Arc.Touch(db);
            return;
        }

        Arc arc = Objset.Spa.Arc;
        bool stored = FindBlkptr(db.Level, db.BlockId, out Blkptr bp);
        int size = db.Level == 0 ? BlockSize : 1 << _phys->IndirectShift;
        if (stored && bp.Level != db.Level)
        {
            throw new ZfsException(Errno.EIO, $"{db}: block pointer says level {bp.Level}");
        }

        if (stored && bp.LogicalSize != size)
        {
            throw new ZfsException(Errno.EIO, $"{db}: block pointer says {bp.LogicalSize} bytes, the object {size}");
        }

        byte* data = arc.AllocBuffer(size, DmuTx.CurrentAllocFlags);
        if (stored)
        {
            int error = Objset.Spa.ReadBlock(bp, data);
            if (error != 0)
            {
                arc.FreeBuffer(data, size);
                throw new ZfsException(error, $"{db}: {bp} can't be read");
            }
        }
        else
        {
            new Span<byte>(data, size).Clear();
        }

        arc.Filled(db, data, size);
    }

    /// <summary>Blocks on their way out, held while no list lock is.</summary>
    [InlineArray(Size)]
    private struct DropBatch
    {
        internal const int Size = 64;
        private Dbuf? _first;
    }

    private static bool HasDirty(Dbuf db, ulong txg) => (db.DirtyMask & (1 << TxgSlots<int>.Index(txg))) != 0;

    private void ReadBlock(ulong blockId, int within, int length, byte* destination)
    {
        Dbuf db = HoldUnread(blockId);
        db.Mutex.Enter();
        try
        {
            FillLocked(db);
            Buffer.MemoryCopy(db.Data + within, destination, length, length);
        }
        finally
        {
            db.Mutex.Exit();
            db.Release();
        }
    }

    private void WriteBlock(ulong blockId, int within, int length, byte* source, DmuTx tx)
    {
        Dbuf db = HoldUnread(blockId);
        db.Mutex.Enter();
        try
        {
            if (db.State != DbufState.Cached)
            {
                if (length == BlockSize)
                {
                    Arc arc = Objset.Spa.Arc;
                    arc.Filled(db, arc.AllocBuffer(BlockSize, tx.AllocFlags), BlockSize);
                }
                else
                {
                    FillLocked(db);
                }
            }

            db.WillDirtyLocked(tx);
            Buffer.MemoryCopy(source, db.Data + within, length, length);
        }
        finally
        {
            db.Mutex.Exit();
            db.Release();
        }
    }

    private void ZeroPart(ulong from, ulong to, DmuTx tx)
    {
        ulong blockId = from / (ulong)BlockSize;
        if (blockId > MaxBlockId)
        {
            return;
        }

        Dbuf db = HoldUnread(blockId);
        db.Mutex.Enter();
        try
        {
            if (db.State != DbufState.Cached && !FindBlkptr(0, blockId, out _))
            {
                return;
            }

            FillLocked(db);
            db.WillDirtyLocked(tx);
            new Span<byte>(db.Data + (from % (ulong)BlockSize), (int)(to - from)).Clear();
        }
        finally
        {
            db.Mutex.Exit();
            db.Release();
        }
    }

    private void DropOne(Dbuf db, ulong txg)
    {
        Arc arc = Objset.Spa.Arc;
        db.Mutex.Enter();
        db.UndirtyLocked(txg);
        if (db.Data is not null)
        {
            bool given = db.GiveBufferToOlder(txg, copy: false, KmFlags.Sleep);
            byte* data = given ? null : db.Data;
            int size = db.Size;
            arc.Unfill(db);
            if (data is not null)
            {
                arc.FreeBuffer(data, size);
            }
        }

        db.Mutex.Exit();
    }
}
