using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// What changing parts of blocks needs in memory, taken before the transaction: the contents of the blocks at both ends of a range, and
/// a buffer for a copy where an older txg has still to write what is there. Inside the transaction it would have to come from the
/// reserve, and for the copy the block's lock is held, which the sync of that older txg needs.
/// </summary>
internal unsafe struct PartialBlocks
{
    private Dbuf? _first;
    private Dbuf? _last;

    /// <summary>Holds, read in, the blocks that a range covers in part; for a range to be freed (ulong.MaxValue: to the end) only those
    /// that exist. Outside transactions; the caller keeps others away from the range. EIO.</summary>
    internal void Take(Dnode dn, ulong offset, ulong length, bool toFree)
    {
        var size = (ulong)dn.BlockSize;
        ulong end = length == ulong.MaxValue ? ulong.MaxValue : offset + length;
        bool toEnd = end == ulong.MaxValue;
        bool oneBlock = !toEnd && (end - 1) / size == offset / size;
        if (offset % size != 0 || (oneBlock && end % size != 0))
        {
            _first = Hold(dn, offset / size, toFree);
        }

        if (!toEnd && !oneBlock && end % size != 0)
        {
            _last = Hold(dn, end / size, toFree);
        }
    }

    /// <summary>After Assign: is there a buffer for every copy that txg <paramref name="txg"/> has to make? If not, end the transaction
    /// without a change, <see cref="TakeSpares"/>, and start another one.</summary>
    internal readonly bool IsReady(ulong txg) => IsReady(_first, txg) && IsReady(_last, txg);

    /// <summary>Takes the buffers. Outside transactions.</summary>
    internal readonly void TakeSpares()
    {
        TakeSpare(_first);
        TakeSpare(_last);
    }

    /// <summary>Lets go of the blocks and of buffers that were not needed.</summary>
    internal void Release()
    {
        Release(ref _first);
        Release(ref _last);
    }

    private static Dbuf? Hold(Dnode dn, ulong block, bool toFree) =>
        toFree && (block > dn.MaxBlockId || !dn.IsStored(block)) ? null : dn.HoldBlock(block);

    private static bool IsReady(Dbuf? db, ulong txg)
    {
        if (db is null)
        {
            return true;
        }

        db.Mutex.Enter();
        bool ready = db.HasSpare || !db.MustCopyFor(txg);
        db.Mutex.Exit();
        return ready;
    }

    private static void TakeSpare(Dbuf? db)
    {
        if (db is null)
        {
            return;
        }

        int size = db.Size;
        byte* buffer = db.Os!.Spa.Arc.AllocBuffer(size, KmFlags.Sleep);
        db.Mutex.Enter();
        byte* unused = db.SwapSpare(buffer, ref size);
        db.Mutex.Exit();
        Free(db, unused, size);
    }

    private static void Release(ref Dbuf? held)
    {
        if (held is not { } db)
        {
            return;
        }

        held = null;
        int size = 0;
        db.Mutex.Enter();
        byte* unused = db.SwapSpare(null, ref size);
        db.Mutex.Exit();
        Free(db, unused, size);
        db.Release();
    }

    private static void Free(Dbuf db, byte* buffer, int size)
    {
        if (buffer is not null)
        {
            db.Os!.Spa.Arc.FreeBuffer(buffer, size);
        }
    }
}
