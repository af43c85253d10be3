using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// A block of an object in memory (dmu_buf_impl_t). One cache level: the block is known by (object set, object, level, block id)
/// and carries the buffer that the ARC lists hold. Level 0 contents are guarded by <see cref="Mutex"/> or, for objects whose
/// owner orders all access (ZAPs, space maps), by that owner's lock; indirect blocks are changed by the sync thread alone, under
/// the dnode's StructLock.
/// Dirty state: one <see cref="DirtyRecord"/> per txg in flight. A hold per dirty txg keeps the block in memory.
/// Lock order: Mutex → Dnode.StructLock (read) → Dnode.ListMutex; hash bucket and ARC locks are leaves.
/// </summary>
public sealed unsafe class Dbuf
{
    internal readonly Kmutex Mutex = new("db_mtx");
    internal Dnode? Dn;
    internal Objset? Os;
    internal ulong Object;
    internal int Level;
    internal DbufState State;

    /// <summary>Its chain in the ARC's table.</summary>
    internal int Hash;

    internal int Holds;
    internal int DirtyMask;
    internal int ListedMask;
    internal TxgSlots<nint> Dirty;
    internal TxgSlots<Dbuf?> NextDirty;
    internal Dbuf? HashNext;
    internal Dbuf? ArcPrev;
    internal Dbuf? ArcNext;
    internal ArcList? ArcList;
    internal long ArcTouchedNs;
    internal Dbuf? DnPrev;
    internal Dbuf? DnNext;

    /// <summary>The last pass of Dnode.DropBlocks that took it up. Guarded by the dnode's list mutex.</summary>
    internal long DropPass;

    internal byte* Charge;

    // A buffer for the copy that an older txg may make necessary. Guarded by Mutex.
    private byte* _spare;
    private int _spareSize;

    /// <summary>In the sync thread: the write in flight for this block.</summary>
    internal DbufWrite? Write;

    /// <summary>An indirect block that the syncing txg has changed.</summary>
    internal bool IndirectDirty;

    /// <summary>The block's current contents, <see cref="Size"/> bytes, in the arena; valid while held.</summary>
    public byte* Data { get; internal set; }

    /// <summary>Bytes of the block.</summary>
    public int Size { get; internal set; }

    /// <summary>Number of the block in its object.</summary>
    public ulong BlockId { get; internal set; }

    /// <summary>The object the block belongs to.</summary>
    public Dnode Dnode => Dn!;

    /// <summary>Call before changing the contents, inside an assigned tx. May move <see cref="Data"/>: read it again afterwards.</summary>
    public void WillDirty(DmuTx tx)
    {
        Mutex.Enter();
        try
        {
            WillDirtyLocked(tx);
        }
        finally
        {
            Mutex.Exit();
        }
    }

    /// <summary>Lets go of the hold.</summary>
    public void Release() => Os!.Spa.Arc.Release(this);

    /// <summary>Is there a buffer for a copy? Mutex held.</summary>
    internal bool HasSpare => _spare is not null && _spareSize == Size;

    /// <inheritdoc/>
    public override string ToString() => $"dbuf {Os?.Id}/{Object} L{Level} {BlockId}";

    /// <summary>As WillDirty, with <see cref="Mutex"/> held and the contents present.</summary>
    internal void WillDirtyLocked(DmuTx tx)
    {
        if (State != DbufState.Cached)
        {
            throw new InvalidOperationException($"{this} dirtied in state {State}");
        }

        Dn!.AssertTx(tx);
        int slot = TxgSlots<int>.Index(tx.Txg);
        if ((DirtyMask & (1 << slot)) != 0)
        {
            DirtyRecord* mine = (DirtyRecord*)Dirty[slot];
            if (mine->Txg != tx.Txg)
            {
                throw new InvalidOperationException($"{this} dirtied in txg {tx.Txg} while txg {mine->Txg} is in the slot");
            }

            DropWritten(mine);
            return;
        }

        DirtyRecord* dr = (DirtyRecord*)Os!.Spa.Arc.DirtyRecords.Alloc(tx.AllocFlags);
        *dr = new DirtyRecord { Txg = tx.Txg, Size = Size };
        UnshareFromOlder(tx);
        Dirty[slot] = (nint)dr;
        DirtyMask |= 1 << slot;
        Os.Spa.ChargeDirty(this, dr);
        Dn.AddDirtyBlock(this, slot, tx);
    }

    /// <summary>Drops what the txg was going to write; the list entry stays until the txg syncs. Mutex held.</summary>
    internal void UndirtyLocked(ulong txg)
    {
        int slot = TxgSlots<int>.Index(txg);
        if ((DirtyMask & (1 << slot)) == 0)
        {
            return;
        }

        FinishDirty(slot);
    }

    /// <summary>The txg of the slot is written, or was dropped. Mutex held.</summary>
    internal void FinishDirty(int slot)
    {
        DirtyRecord* dr = (DirtyRecord*)Dirty[slot];
        if (dr->Data is not null)
        {
            Os!.Spa.Arc.FreeBuffer(dr->Data, dr->Size);
        }

        DropWritten(dr);
        Os!.Spa.UnchargeDirty(Os, dr);
        Os.Spa.Arc.DirtyRecords.Free((byte*)dr);
        Dirty[slot] = 0;
        DirtyMask &= ~(1 << slot);
    }

    /// <summary>
    /// Gives the current buffer to the youngest older txg that still shares it, so that the block can change. With
    /// <paramref name="copy"/> the block goes on with a copy, else with no buffer at all.
    /// </summary>
    internal bool GiveBufferToOlder(ulong txg, bool copy, KmFlags flags)
    {
        for (ulong older = txg - 1; older + 3 >= txg && older != 0; older--)
        {
            int slot = TxgSlots<int>.Index(older);
            if ((DirtyMask & (1 << slot)) == 0)
            {
                continue;
            }

            DirtyRecord* dr = (DirtyRecord*)Dirty[slot];
            if (dr->Txg != older || dr->Data is not null)
            {
                return false;
            }

            byte* fresh = null;
            if (copy)
            {
                fresh = TakeCopyBuffer(flags);
                Buffer.MemoryCopy(Data, fresh, Size, Size);
            }

            dr->Data = Data;
            Data = fresh;
            return true;
        }

        return false;
    }

    /// <summary>Takes the pointer of a block that was written ahead of its txg; a hole if it was not. In the sync thread, Mutex held.</summary>
    internal static Blkptr TakeWritten(DirtyRecord* dr)
    {
        if (dr->Written is null)
        {
            return default;
        }

        Blkptr bp = *dr->Written;
        KmemAllocator.Free((byte*)dr->Written, Blkptr.SizeOf);
        dr->Written = null;
        return bp;
    }

    /// <summary>What was written ahead is not what the txg will have: it is freed. Mutex held.</summary>
    private void DropWritten(DirtyRecord* dr)
    {
        if (dr->Written is not null)
        {
            Blkptr bp = TakeWritten(dr);
            Os!.Spa.FreeBlock(bp, dr->Txg);
        }
    }

    /// <summary>Has a change in txg <paramref name="txg"/> to leave the contents to an older txg, and go on with a copy? Mutex held.</summary>
    internal bool MustCopyFor(ulong txg)
    {
        if ((DirtyMask & (1 << TxgSlots<int>.Index(txg))) != 0)
        {
            return false;
        }

        for (ulong older = txg - 1; older + 3 >= txg && older != 0; older--)
        {
            int slot = TxgSlots<int>.Index(older);
            if ((DirtyMask & (1 << slot)) != 0)
            {
                return ((DirtyRecord*)Dirty[slot])->Data is null;
            }
        }

        return false;
    }

    /// <summary>Puts a buffer for a copy in, and returns the one that was there, with its size. Mutex held.</summary>
    internal byte* SwapSpare(byte* buffer, ref int size)
    {
        byte* old = _spare;
        (_spareSize, size) = (size, _spareSize);
        _spare = buffer;
        return old;
    }

    private byte* TakeCopyBuffer(KmFlags flags)
    {
        if (!HasSpare)
        {
            return Os!.Spa.Arc.AllocBuffer(Size, flags);
        }

        byte* buffer = _spare;
        _spare = null;
        return buffer;
    }

    private void UnshareFromOlder(DmuTx tx) => GiveBufferToOlder(tx.Txg, copy: true, tx.AllocFlags);
}
