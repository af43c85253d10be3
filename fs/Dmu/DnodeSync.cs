using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>The sync side of an object: what the sync thread does to it for one txg. See ObjsetSync for the order.</summary>
public sealed unsafe partial class Dnode
{
    /// <summary>Everything but the writing of blocks: birth, death, bonus, block size, freed ranges, depth.</summary>
    internal void SyncStructure(DnodeChange change, ObjsetSync sync)
    {
        if (change.Freed)
        {
            DropDirtyBlocks(change);
            DropBonus(change);
            if (!change.Allocated)
            {
                FreeTree(0, ulong.MaxValue, sync);
            }

            return;
        }

        StructLock.EnterWrite();
        if (change.Allocated)
        {
            _phys->Type = Type;
            _phys->BonusType = BonusType;
            _phys->Flags = DnodePhys.FlagUsedBytes;
        }

        if (change.BlockSize != 0)
        {
            _phys->DataBlockSectors = (ushort)(change.BlockSize >> 9);
        }

        StructLock.Exit();
        SyncBonus(change);
        SyncFreedRanges(change, sync);
        GrowLevels(change, sync);
    }

    /// <summary>Hands the dirty level-0 blocks of the txg to the writer, and forgets the list.</summary>
    internal void CollectDirty(DnodeChange change, ObjsetSync sync)
    {
        int slot = TxgSlots<int>.Index(change.Txg);
        Dbuf? db = change.DirtyHead;
        change.DirtyHead = null;
        while (db is not null)
        {
            Dbuf? next = db.NextDirty[slot];
            Unlist(db, slot);
            db.Mutex.Enter();
            bool dirty = (db.DirtyMask & (1 << slot)) != 0;
            byte* data = null;
            int size = 0;
            Blkptr written = default;
            if (dirty)
            {
                DirtyRecord* dr = (DirtyRecord*)db.Dirty[slot];
                if (dr->IsBeingWritten != 0)
                {
                    db.Mutex.Exit();
                    Objset.Spa.WritesNow.Wait(&dr->IsBeingWritten);
                    db.Mutex.Enter();
                }

                data = dr->Data is not null ? dr->Data : db.Data;
                size = dr->Size;
                written = Dbuf.TakeWritten(dr);
            }

            db.Mutex.Exit();
            if (dirty)
            {
                sync.SubmitData(this, db, data, size, written);
            }
            else
            {
                db.Release();
            }

            db = next;
        }
    }

    /// <summary>Puts a block's new pointer into the tree, with all that follows: space of old and new, the object's own account.</summary>
    internal void StoreBlkptr(DbufWrite write, ObjsetSync sync)
    {
        Blkptr* where = Locate(write.Db!.Level, write.Db.BlockId, write.Parent);
        Blkptr old = *where;
        Blkptr fresh = write.BecameHole ? default : write.Bp;
        bool inPlace = !old.IsHole && !fresh.IsHole && old.Birth == fresh.Birth && old.Dva0.Equals(fresh.Dva0);
        if (!inPlace)
        {
            if (!old.IsHole)
            {
                sync.Kill(old);
            }

            if (!fresh.IsHole)
            {
                sync.Born(fresh);
            }
        }

        AddUsed((long)fresh.Asize - (old.IsHole ? 0 : (long)old.Asize));
        StructLock.EnterWrite();
        *where = fresh;
        if (write.Db.Level == 0 && write.Db.BlockId > _phys->MaxBlockId)
        {
            _phys->MaxBlockId = write.Db.BlockId;
        }

        StructLock.Exit();
        if (write.Parent is { } parent)
        {
            sync.MarkIndirectDirty(parent);
        }
    }

    /// <summary>The pointer's place: in the dnode or in the parent, which the caller holds.</summary>
    internal Blkptr* Locate(int level, ulong blockId, Dbuf? parent) => level == _phys->Levels - 1
        ? DnodePhys.BlkptrAt(_phys, checked((int)blockId))
        : (Blkptr*)parent!.Data + (blockId & ((1UL << EntriesShift) - 1));

    /// <summary>Holds the indirect block over a block, made if need be; null if the dnode itself is the parent.</summary>
    internal Dbuf? HoldParent(int level, ulong blockId) =>
        level == _phys->Levels - 1 ? null : HoldIndirect(level + 1, blockId >> EntriesShift, create: true);

    /// <summary>The image for the meta-dnode's block.</summary>
    internal void CopyPhysTo(byte* target, bool freed)
    {
        if (freed)
        {
            new Span<byte>(target, DnodePhys.SizeOf).Clear();
            return;
        }

        Buffer.MemoryCopy(_phys, target, DnodePhys.SizeOf, DnodePhys.SizeOf);
    }

    /// <summary>The txg will free about so many bytes of this object, and no more than it has.</summary>
    internal void ChargeFree(DnodeChange change, long bytes)
    {
        Mutex.Enter();
        long more = Math.Min(bytes, UsedBytes - change.PendingFree);
        if (more > 0)
        {
            change.PendingFree += more;
            Objset.Spa.ExpectFree(Objset, more);
        }

        Mutex.Exit();
    }

    /// <summary>The txg is done with this dnode.</summary>
    internal void FinishChange(DnodeChange change)
    {
        bool freed = change.Freed;
        Objset.Spa.UnchargeDirtyDnode(Objset, change);
        Objset.Spa.ExpectFree(Objset, -change.PendingFree);
        Mutex.Enter();
        change.Reset();
        Mutex.Exit();
        if (freed)
        {
            DropIndirects();
            Objset.NoteFreed(Object);
        }

        Release();
    }

    /// <summary>Loads the sync side of a special dnode from the object set's own block.</summary>
    internal void AttachSpecial(Objset os, ulong obj, DnodePhys* phys)
    {
        Attach(os, obj, phys);
        Holds = 1;
    }

    internal void DetachSpecial()
    {
        Holds = 0;
        Detach();
    }

    /// <summary>Makes the meta-dnode of a new object set.</summary>
    internal void InitPhys(DmuOt type, int blockSize, int levels)
    {
        InitNew(type, blockSize, DmuOt.None, 0);
        _phys->Type = type;
        _phys->Levels = (byte)levels;
        _phys->Flags = DnodePhys.FlagUsedBytes;
    }

    private void Unlist(Dbuf db, int slot)
    {
        Mutex.Enter();
        db.NextDirty[slot] = null;
        db.ListedMask &= ~(1 << slot);
        Mutex.Exit();
    }

    private void AddUsed(long delta)
    {
        long used = (long)_phys->UsedBytes + delta;
        if (used < 0)
        {
            throw new ZfsException(Errno.EIO, $"{HoldName}: its account is damaged: space used would be {used}");
        }

        _phys->Flags |= DnodePhys.FlagUsedBytes;
        _phys->Used = (ulong)used;
    }

    /// <summary>Drops the indirect blocks of a freed object: all their pointers are gone.</summary>
    private void DropIndirects()
    {
        while (true)
        {
            Dbuf? victim = null;
            _listMutex.Enter();
            for (Dbuf? db = _blocks; db is not null; db = db.DnNext)
            {
                if (db.Data is not null && Arc.TryHoldListed(db))
                {
                    victim = db;
                    break;
                }
            }

            _listMutex.Exit();
            if (victim is null)
            {
                return;
            }

            victim.Mutex.Enter();
            byte* data = victim.Data;
            int size = victim.Size;
            if (data is not null)
            {
                // A reader ahead may be looking at a pointer in it.
                StructLock.EnterWrite();
                Objset.Spa.Arc.Unfill(victim);
                StructLock.Exit();
                Objset.Spa.Arc.FreeBuffer(data, size);
            }

            victim.Mutex.Exit();
            victim.Release();
        }
    }

    private void DropDirtyBlocks(DnodeChange change)
    {
        int slot = TxgSlots<int>.Index(change.Txg);
        Dbuf? db = change.DirtyHead;
        change.DirtyHead = null;
        while (db is not null)
        {
            Dbuf? next = db.NextDirty[slot];
            Unlist(db, slot);
            db.Mutex.Enter();
            db.UndirtyLocked(change.Txg);
            db.Mutex.Exit();
            db.Release();
            db = next;
        }
    }

    private void SyncBonus(DnodeChange change)
    {
        if (!change.BonusDirty)
        {
            return;
        }

        // Under the mutex as a whole: a later txg must either find this one's bonus still shared, and leave it a copy, or find
        // it written.
        StructLock.EnterWrite();
        Mutex.Enter();
        byte* source = change.Bonus is null ? Bonus : change.Bonus;
        int length = change.Bonus is null ? BonusLength : change.BonusLength;
        byte* target = DnodePhys.BonusOf(_phys);
        int room = DnodePhys.MaxBonus - ((_phys->BlkptrCount - 1) * Blkptr.SizeOf);
        new Span<byte>(target, room).Clear();
        Buffer.MemoryCopy(source, target, room, length);
        _phys->BonusLength = (ushort)length;
        byte* copy = TakeBonus(change);
        Mutex.Exit();
        StructLock.Exit();
        FreeBonus(copy);
    }

    private void DropBonus(DnodeChange change)
    {
        Mutex.Enter();
        byte* copy = TakeBonus(change);
        Mutex.Exit();
        FreeBonus(copy);
    }

    private static byte* TakeBonus(DnodeChange change)
    {
        byte* copy = change.Bonus;
        change.Bonus = null;
        change.BonusDirty = false;
        return copy;
    }

    private void FreeBonus(byte* copy)
    {
        if (copy is not null)
        {
            Objset.Spa.BonusCache.Free(copy);
        }
    }

    private void SyncFreedRanges(DnodeChange change, ObjsetSync sync)
    {
        if (change.Free.IsEmpty)
        {
            return;
        }

        foreach ((ulong first, ulong last) in change.Free.Ranges)
        {
            FreeTree(first, last, sync);
            sync.Relieve();
        }

        StructLock.EnterWrite();
        if (change.TruncatedTo >= 0 && _phys->MaxBlockId > (ulong)change.TruncatedTo)
        {
            _phys->MaxBlockId = (ulong)change.TruncatedTo;
        }

        Mutex.Enter();
        change.Free.Clear();
        Mutex.Exit();
        StructLock.Exit();
    }

    /// <summary>Adds levels until the highest dirty block fits. The old root pointers become the first entries of a new block.</summary>
    private void GrowLevels(DnodeChange change, ObjsetSync sync)
    {
        int slot = TxgSlots<int>.Index(change.Txg);
        ulong highest = _phys->MaxBlockId;
        for (Dbuf? db = change.DirtyHead; db is not null; db = db.NextDirty[slot])
        {
            if ((db.DirtyMask & (1 << slot)) != 0)
            {
                highest = Math.Max(highest, db.BlockId);
            }
        }

        while (highest >> (EntriesShift * (_phys->Levels - 1)) >= _phys->BlkptrCount)
        {
            AddLevel(sync);
        }
    }

    private void AddLevel(ObjsetSync sync)
    {
        int level = _phys->Levels;
        bool any = false;
        for (int i = 0; i < _phys->BlkptrCount; i++)
        {
            any |= !DnodePhys.BlkptrAt(_phys, i)->IsHole;
        }

        Dbuf? db = any ? HoldIndirect(level, 0, create: true) : null;
        StructLock.EnterWrite();
        for (int i = 0; i < _phys->BlkptrCount; i++)
        {
            Blkptr* root = DnodePhys.BlkptrAt(_phys, i);
            if (db is not null)
            {
                ((Blkptr*)db.Data)[i] = *root;
            }

            *root = default;
        }

        _phys->Levels++;
        StructLock.Exit();
        if (db is not null)
        {
            sync.MarkIndirectDirty(db);
            db.Release();
        }
    }

    /// <summary>Frees the data blocks of a range, and indirect blocks that have nothing left.</summary>
    private void FreeTree(ulong first, ulong last, ObjsetSync sync)
    {
        int top = _phys->Levels - 1;
        for (int i = 0; i < _phys->BlkptrCount; i++)
        {
            Blkptr* bp = DnodePhys.BlkptrAt(_phys, i);
            if (FreeBelow(*bp, top, (ulong)i, first, last, sync))
            {
                KillEntry(bp, sync);
            }
        }
    }

    /// <summary>Frees what lies below one pointer and in the range. True if the pointer itself is to go.</summary>
    private bool FreeBelow(in Blkptr bp, int level, ulong blockId, ulong first, ulong last, ObjsetSync sync)
    {
        int shift = EntriesShift * level;
        ulong from = shift >= 64 ? 0 : blockId << shift;
        ulong to = shift >= 64 ? ulong.MaxValue : from + ((1UL << shift) - 1);
        if (to < first || from > last)
        {
            return false;
        }

        if (level == 0)
        {
            return !bp.IsHole;
        }

        // Under a hole there may still be a block that this txg has made and not written yet.
        Dbuf? db = bp.IsHole ? Objset.Spa.Arc.TryHold(this, level, blockId) : HoldIndirect(level, blockId, create: false);
        if (db is null)
        {
            return false;
        }

        if (db.State != DbufState.Cached)
        {
            db.Release();
            return false;
        }

        bool changed = false;
        int entries = 1 << EntriesShift;
        for (int i = 0; i < entries; i++)
        {
            Blkptr* child = (Blkptr*)db.Data + i;
            bool maybeDirtyChild = level > 1;
            if ((!child->IsHole || maybeDirtyChild)
                && FreeBelow(*child, level - 1, (blockId << EntriesShift) + (ulong)i, first, last, sync))
            {
                KillEntry(child, sync);
                changed = true;
            }
        }

        bool empty = true;
        for (int i = 0; i < entries && empty; i++)
        {
            empty = ((Blkptr*)db.Data)[i].IsHole;
        }

        if (empty)
        {
            ObjsetSync.ForgetIndirect(db);
        }
        else if (changed)
        {
            sync.MarkIndirectDirty(db);
        }

        db.Release();
        return empty && !bp.IsHole;
    }

    private void KillEntry(Blkptr* bp, ObjsetSync sync)
    {
        Blkptr old = *bp;
        sync.Kill(old);
        AddUsed(-(long)old.Asize);
        StructLock.EnterWrite();
        *bp = default;
        StructLock.Exit();
    }
}
