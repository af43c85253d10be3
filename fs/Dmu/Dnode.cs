using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// An object in memory (dnode_t). It has two sides. The open side is what callers see: type, block size, bonus, highest block,
/// cached blocks. The sync side is <see cref="_phys"/>, the dnode as the last synced txg left it plus what the syncing one has done:
/// the sync thread alone changes it, under <see cref="StructLock"/>. What an open txg changes travels in one <see cref="DnodeChange"/> per txg,
/// and a later txg that changes the same thing first leaves the earlier one a copy.
///
/// Holds: callers, each cached block, and each txg with changes hold the dnode; without holds it leaves memory.
/// Lock order: ContentLock (the owner's: ZAPs) → Dbuf.Mutex → StructLock → Mutex; ListMutex and the object set's locks are leaves. No
/// allocation is made under Mutex or ListMutex.
/// </summary>
public sealed unsafe partial class Dnode : TxHoldable
{
    internal const int IndirectShift = 14;
    internal const int EntriesPerIndirectShift = IndirectShift - 7;
    /// <summary>What the object itself takes on the managed heap, bytes, with room for what it keeps of changes; counted by the ARC.</summary>
    internal const int ManagedBytes = 1024;

    internal const int NativeBytes = DnodePhys.SizeOf + DnodePhys.MaxBonus;

    internal readonly Kmutex Mutex = new("dn_mtx");
    internal readonly Krwlock StructLock = new("dn_struct_rwlock");
    private readonly Kmutex _listMutex = new("dn_dbufs_mtx");
    private TxgSlots<DnodeChange?> _changes;
    private DnodePhys* _phys;
    private Dbuf? _blocks;
    private long _dropPass;
    internal int Holds;
    internal bool InTable;
    internal ulong FreedTxg;

    /// <summary>Where the last read ended, bytes, and up to which block has been read ahead.</summary>
    internal ulong ReadEnd, PrefetchEnd;

    /// <summary>For the owner of the object's contents (the ZAP code): orders all access to them.</summary>
    public Krwlock ContentLock { get; } = new("zap_rwlock");

    /// <summary>The owner's own; disposed with the dnode if it is IDisposable.</summary>
    public object? UserData { get; set; }

    /// <inheritdoc/>
    public override string HoldName => $"dnode {Objset?.Id}/{Object}";

    /// <summary>The object set it belongs to.</summary>
    public Objset Objset { get; private set; } = null!;

    /// <summary>Object number.</summary>
    public ulong Object { get; private set; }

    /// <summary>Type of the object.</summary>
    public DmuOt Type { get; private set; }

    /// <summary>Type of its bonus buffer.</summary>
    public DmuOt BonusType { get; private set; }

    /// <summary>Bytes of bonus in use, 0 to 320.</summary>
    public int BonusLength { get; private set; }

    /// <summary>The current bonus, room for 320 bytes. Whoever owns the object (the znode) orders its changes.</summary>
    public byte* Bonus { get; private set; }

    /// <summary>Data block size, bytes.</summary>
    public int BlockSize { get; private set; }

    /// <summary>Highest block id ever written (0 if none).</summary>
    public ulong MaxBlockId { get; private set; }

    /// <summary>Bytes on disk, as of the last synced txg.</summary>
    public long UsedBytes => (long)_phys->UsedBytes;

    internal bool IsMeta => Object == 0;

    internal DnodePhys* Phys => _phys;

    internal int Levels => _phys->Levels;

    /// <summary>Call before changing <see cref="Bonus"/>, inside an assigned tx that holds this dnode.</summary>
    public void DirtyBonus(DmuTx tx)
    {
        DnodeChange change = Dirty(tx);
        byte* copy = null;
        Mutex.Enter();
        if (change.BonusDirty)
        {
            Mutex.Exit();
            return;
        }

        DnodeChange? older = OlderBonusSharer(tx.Txg);
        if (older is not null)
        {
            Mutex.Exit();
            copy = Objset.Spa.BonusCache.Alloc(tx.AllocFlags);
            Mutex.Enter();
            older = OlderBonusSharer(tx.Txg);
            if (older is not null)
            {
                Buffer.MemoryCopy(Bonus, copy, DnodePhys.MaxBonus, DnodePhys.MaxBonus);
                older.Bonus = copy;
                older.BonusLength = BonusLength;
                copy = null;
            }
        }

        change.BonusDirty = true;
        Mutex.Exit();
        if (copy is not null)
        {
            Objset.Spa.BonusCache.Free(copy);
        }
    }

    /// <summary>Changes the bonus length.</summary>
    public void SetBonusLength(int length, DmuTx tx)
    {
        int room = DnodePhys.MaxBonus - ((_phys->BlkptrCount - 1) * Blkptr.SizeOf);
        if (length < 0 || length > room)
        {
            throw new InvalidOperationException($"{HoldName}: bonus of {length} bytes, room for {room}");
        }

        DirtyBonus(tx);
        BonusLength = length;
    }

    /// <summary>Lets go of the hold.</summary>
    public void Release()
    {
        int after = Katomic.Decrement(ref Holds);
        if (after < 0)
        {
            throw new InvalidOperationException($"{HoldName} released once too often");
        }

        if (after == 0 && !IsSpecial)
        {
            Objset.DropIfUnheld(this);
        }
    }

    /// <inheritdoc/>
    public override string ToString() => HoldName;

    internal bool IsSpecial => Object is 0 or Objset.UserUsedObject or Objset.GroupUsedObject;

    internal void AddHold() => Katomic.Increment(ref Holds);

    internal void AssertTx(DmuTx tx)
    {
        if (tx.Txg == 0)
        {
            throw new InvalidOperationException($"{HoldName} changed outside a transaction");
        }

        if (Objset.IsMos && !tx.IsSyncing)
        {
            throw new InvalidOperationException($"{HoldName}: the MOS is changed by the sync thread alone");
        }
    }

    /// <summary>Sets up a pooled dnode for an object. <paramref name="phys"/> null: a new object.</summary>
    internal void Attach(Objset os, ulong obj, DnodePhys* phys)
    {
        byte* native = os.Spa.Dnodes.Alloc(DmuTx.CurrentAllocFlags);
        os.Spa.Arc.CountManaged(ManagedBytes);
        _phys = (DnodePhys*)native;
        Bonus = native + DnodePhys.SizeOf;
        new Span<byte>(native, NativeBytes).Clear();
        Objset = os;
        Object = obj;
        Holds = 0;
        FreedTxg = 0;
        ReadEnd = 0;
        PrefetchEnd = 0;
        UserData = null;
        _blocks = null;
        MaxBlockId = 0;
        if (phys is null)
        {
            return;
        }

        *_phys = *phys;
        Type = phys->Type;
        BonusType = phys->BonusType;
        BonusLength = phys->BonusLength;
        BlockSize = phys->DataBlockSize;
        MaxBlockId = phys->MaxBlockId;
        Buffer.MemoryCopy(DnodePhys.BonusOf(_phys), Bonus, DnodePhys.MaxBonus, phys->BonusLength);
    }

    /// <summary>Gives the open side of a new object. The sync side follows when its txg syncs.</summary>
    internal void InitNew(DmuOt type, int blockSize, DmuOt bonusType, int bonusLength)
    {
        Type = type;
        BlockSize = blockSize;
        BonusType = bonusType;
        BonusLength = bonusLength;
        _phys->IndirectShift = IndirectShift;
        _phys->Levels = 1;
        _phys->BlkptrCount = (byte)DnodePhys.BlkptrCountFor(bonusLength);
        _phys->DataBlockSectors = (ushort)(blockSize >> 9);
    }

    /// <summary>Gives the native memory back. Nothing holds the dnode any more.</summary>
    internal void Detach()
    {
        if (_blocks is not null)
        {
            throw new InvalidOperationException($"{HoldName} leaves memory with blocks");
        }

        (UserData as IDisposable)?.Dispose();
        UserData = null;
        Objset.Spa.Dnodes.Free((byte*)_phys);
        Objset.Spa.Arc.CountManaged(-ManagedBytes);
        _phys = null;
        Bonus = null;
        Type = DmuOt.None;
    }

    internal void AddToList(Dbuf db)
    {
        _listMutex.Enter();
        db.DropPass = 0;
        db.DnPrev = null;
        db.DnNext = _blocks;
        if (_blocks is not null)
        {
            _blocks.DnPrev = db;
        }

        _blocks = db;
        _listMutex.Exit();
    }

    internal void RemoveFromList(Dbuf db)
    {
        _listMutex.Enter();
        if (db.DnPrev is null)
        {
            _blocks = db.DnNext;
        }
        else
        {
            db.DnPrev.DnNext = db.DnNext;
        }

        if (db.DnNext is not null)
        {
            db.DnNext.DnPrev = db.DnPrev;
        }

        db.DnPrev = null;
        db.DnNext = null;
        _listMutex.Exit();
    }

    /// <summary>The record of what the tx's txg changes; made, and the dnode put on the dirty list, at the first change.</summary>
    internal DnodeChange Dirty(DmuTx tx)
    {
        AssertTx(tx);
        int slot = TxgSlots<int>.Index(tx.Txg);
        Mutex.Enter();
        DnodeChange change = _changes[slot] ??= new DnodeChange();
        if (change.Listed)
        {
            Mutex.Exit();
            if (change.Txg != tx.Txg)
            {
                throw new InvalidOperationException($"{HoldName} dirtied in txg {tx.Txg} while txg {change.Txg} has not synced");
            }

            return change;
        }

        change.Listed = true;
        change.Txg = tx.Txg;
        Mutex.Exit();
        AddHold();
        if (!Objset.IsMos && !IsSpecial)
        {
            Objset.Spa.ChargeDirtyDnode(Objset, change);
        }

        Objset.AddDirtyDnode(this, tx);
        return change;
    }

    internal DnodeChange? ChangeOf(ulong txg)
    {
        DnodeChange? change = _changes[TxgSlots<int>.Index(txg)];
        return change is { Listed: true } && change.Txg == txg ? change : null;
    }

    internal void AddDirtyBlock(Dbuf db, int slot, DmuTx tx)
    {
        DnodeChange change = Dirty(tx);
        Mutex.Enter();
        if (db.BlockId > MaxBlockId)
        {
            MaxBlockId = db.BlockId;
        }

        if ((db.ListedMask & (1 << slot)) == 0)
        {
            db.ListedMask |= 1 << slot;
            db.NextDirty[slot] = change.DirtyHead;
            change.DirtyHead = db;
            Katomic.Increment(ref db.Holds);
        }

        Mutex.Exit();
    }

    private DnodeChange? OlderBonusSharer(ulong txg)
    {
        for (ulong older = txg - 1; older + 3 >= txg && older != 0; older--)
        {
            if (ChangeOf(older) is { BonusDirty: true } change)
            {
                return change.Bonus is null ? change : null;
            }
        }

        return null;
    }
}
