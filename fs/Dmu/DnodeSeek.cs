using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Which blocks of an object exist: on disk by the tree of pointers, or in memory, dirty.</summary>
public sealed unsafe partial class Dnode
{
    /// <summary>
    /// Finds the next data (or, with <paramref name="hole"/>, the next hole) at or after an offset, by blocks, dirty ones
    /// included (dnode_next_offset). False: none up to the end of the last block. Holes are passed over by whole subtrees.
    /// </summary>
    public bool NextOffset(ulong offset, bool hole, out ulong result)
    {
        ulong bs = (ulong)BlockSize;
        ulong block = offset / bs;
        bool found = hole ? FindHole(ref block) : FindData(ref block);
        result = found ? Math.Max(offset, block * bs) : 0;
        return found;
    }

    /// <summary>Is there a block, on disk or dirty?</summary>
    internal bool IsStored(ulong blockId) => NextDirty(blockId) == blockId || FindBlkptr(0, blockId, out _);

    private bool FindHole(ref ulong block)
    {
        while (block <= MaxBlockId && (FindBlkptr(0, block, out _) || IsStored(block)))
        {
            block++;
        }

        return block <= MaxBlockId;
    }

    private bool FindData(ref ulong block)
    {
        // Dirty blocks first: one that reaches the tree meanwhile is found either way.
        ulong dirty = NextDirty(block);
        ulong end = Math.Min(dirty, MaxBlockId + 1);
        while (block < end)
        {
            if (FindBlkptr(0, block, out _, out ulong skip))
            {
                return true;
            }

            if (skip >= end - block)
            {
                break;
            }

            block += skip;
        }

        block = dirty;
        return dirty <= MaxBlockId;
    }

    /// <summary>The first dirty data block from here on; ulong.MaxValue if there is none.</summary>
    private ulong NextDirty(ulong from)
    {
        ulong best = ulong.MaxValue;
        _listMutex.Enter();
        for (Dbuf? db = _blocks; db is not null; db = db.DnNext)
        {
            if (db.Level == 0 && db.BlockId >= from && db.BlockId < best && db.DirtyMask != 0 && db.Data is not null)
            {
                best = db.BlockId;
            }
        }

        _listMutex.Exit();
        return best;
    }

    /// <summary>Changes the block size while block 0 does not exist: it stays a hole.</summary>
    private void ResizeHole(int size, DmuTx tx, ref byte* buffer)
    {
        DnodeChange change = Dirty(tx);
        Dbuf db = HoldUnread(0);
        db.Mutex.Enter();
        if (db.Data is not null)
        {
            byte* zeros = db.Data;
            int zerosSize = db.Size;
            Objset.Spa.Arc.Unfill(db);
            Objset.Spa.Arc.FreeBuffer(zeros, zerosSize);
        }

        Mutex.Enter();
        change.BlockSize = size;
        BlockSize = size;
        Mutex.Exit();
        if (buffer is not null)
        {
            new Span<byte>(buffer, size).Clear();
            Objset.Spa.Arc.Filled(db, buffer, size);
            buffer = null;
        }

        db.Mutex.Exit();
        db.Release();
    }
}
