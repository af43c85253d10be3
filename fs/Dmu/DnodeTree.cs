using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The tree of indirect blocks. A reader loads an indirect block first and takes StructLock for the moment it copies a pointer; the
/// sync thread holds what it changes and takes StructLock for writing for the moment of the change. So no I/O happens under StructLock.
/// </summary>
public sealed unsafe partial class Dnode
{
    internal const int MaxLevelCount = 11;

    private int EntriesShift => _phys->IndirectShift - 7;

    /// <summary>The pointer to a block as the tree has it now, honouring ranges freed by txgs that have not synced. False: a hole.</summary>
    internal bool FindBlkptr(int level, ulong blockId, out Blkptr bp) => FindBlkptr(level, blockId, out bp, out _);

    /// <summary>As above; <paramref name="skip"/>: for a hole, how many blocks of that level from here are surely holes too.</summary>
    internal bool FindBlkptr(int level, ulong blockId, out Blkptr bp, out ulong skip)
    {
        bp = default;
        skip = 1;
        while (true)
        {
            StructLock.EnterRead();
            if (level == 0 && IsFreedInFlight(blockId, out ulong lastFreed))
            {
                StructLock.Exit();
                skip = lastFreed == ulong.MaxValue ? ulong.MaxValue - blockId : lastFreed - blockId + 1;
                return false;
            }

            int levels = _phys->Levels;
            if (level == levels - 1)
            {
                bool there = blockId < _phys->BlkptrCount;
                if (there)
                {
                    bp = *DnodePhys.BlkptrAt(_phys, (int)blockId);
                }

                StructLock.Exit();
                skip = there ? 1 : ulong.MaxValue - blockId;
                return there && !bp.IsHole;
            }

            StructLock.Exit();
            if (level >= levels)
            {
                skip = ulong.MaxValue - blockId;
                return false;
            }

            Dbuf? parent = HoldIndirect(level + 1, blockId >> EntriesShift, create: false);
            if (parent is null)
            {
                // As far as the missing indirect blocks go.
                FindBlkptr(level + 1, blockId >> EntriesShift, out _, out ulong above);
                ulong next = (blockId >> EntriesShift) + above;
                bool toEnd = above >= ulong.MaxValue >> (EntriesShift + 1) || next > ulong.MaxValue >> EntriesShift;
                skip = toEnd ? ulong.MaxValue - blockId : (next << EntriesShift) - blockId;
                return false;
            }

            StructLock.EnterRead();
            if (_phys->Levels != levels)
            {
                StructLock.Exit();
                parent.Release();
                continue;
            }

            bool freed = level == 0 && IsFreedInFlight(blockId, out _);
            if (parent.Data is not null)
            {
                bp = ((Blkptr*)parent.Data)[(int)(blockId & ((1UL << EntriesShift) - 1))];
            }

            StructLock.Exit();
            parent.Release();
            return !freed && !bp.IsHole;
        }
    }

    /// <summary>
    /// Holds an indirect block with its contents. Where the tree has a hole: null, or with <paramref name="create"/> (sync thread) a block of
    /// zeros.
    /// </summary>
    internal Dbuf? HoldIndirect(int level, ulong blockId, bool create)
    {
        Arc arc = Objset.Spa.Arc;
        Dbuf db = arc.Hold(this, level, blockId);
        if (db.State == DbufState.Cached)
        {
            arc.Touch(db);
            return db;
        }

        db.Mutex.EnterNested(level);
        try
        {
            if (db.State == DbufState.Cached || create || FindBlkptr(level, blockId, out _))
            {
                FillLocked(db);
                return db;
            }
        }
        catch
        {
            db.Mutex.Exit();
            db.Release();
            throw;
        }
        finally
        {
            if (db.Mutex.IsHeld)
            {
                db.Mutex.Exit();
            }
        }

        db.Release();
        return null;
    }

    private bool IsFreedInFlight(ulong blockId, out ulong last)
    {
        last = 0;
        Mutex.Enter();
        bool freed = false;
        for (int i = 0; i < 4 && !freed; i++)
        {
            DnodeChange? c = _changes[i];
            freed = c is { Listed: true } && !c.Free.IsEmpty && c.Free.Contains(blockId, out last);
        }

        Mutex.Exit();
        return freed;
    }
}
