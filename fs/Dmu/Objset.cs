using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// A set of objects (objset_t): the MOS or the file system of one dataset or snapshot. Dnodes are found by number in a table; new
/// ones are made in memory and reach the meta-dnode's blocks when their txg syncs.
/// Lock order: TableMutex and DirtyMutex are leaves; AllocMutex comes before the locks of the meta-dnode.
/// </summary>
public sealed unsafe partial class Objset
{
    /// <summary>The special object of the space per user (DMU_USERUSED_OBJECT).</summary>
    public const ulong UserUsedObject = ulong.MaxValue;

    /// <summary>The special object of the space per group.</summary>
    public const ulong GroupUsedObject = ulong.MaxValue - 1;

    internal const int DnodesPerBlockShift = 5;

    private readonly Dictionary<ulong, Dnode> _table = [];
    private readonly Kmutex _tableMutex = new("os_dnodes_mtx");
    private readonly Kmutex _allocMutex = new("os_obj_lock");
    private readonly Kmutex _dirtyMutex = new("os_dirty_mtx");

    // Guards what the sync thread tells the allocation of objects; never AllocMutex, under which others wait for memory and disk.
    private readonly Kmutex _freedMutex = new("os_freed_mtx");
    private readonly List<Dnode>[] _dirty = [[], [], [], []];
    private ulong _nextObject = 1;
    private ulong _lowestFreed = ulong.MaxValue;
    private int _freedSinceRewind;

    internal Objset(Spa spa, ulong id, DslDataset? dataset, bool readOnly)
    {
        Spa = spa;
        Id = id;
        Dataset = dataset;
        IsReadOnly = readOnly;
        MetaDnode = new Dnode();
        UserUsed = new Dnode();
        GroupUsed = new Dnode();
    }

    /// <summary>Dataset object number; 0 for the MOS.</summary>
    public ulong Id { get; }

    /// <summary>The pool.</summary>
    public Spa Spa { get; }

    /// <summary>The dataset, null for the MOS.</summary>
    public DslDataset? Dataset { get; }

    /// <summary>A snapshot, or a pool opened for reading only.</summary>
    public bool IsReadOnly { get; }

    /// <summary>True for the meta object set.</summary>
    public bool IsMos => Id == 0;

    /// <summary>META, ZFS or ZVOL (1, 2, 3).</summary>
    public ulong Kind { get; private set; }

    /// <summary>The pool's transaction groups.</summary>
    public TxgEngine Txg => Spa.Txg;

    internal Dnode MetaDnode { get; }

    internal Dnode UserUsed { get; }

    internal Dnode GroupUsed { get; }

    /// <summary>Quotas per user and per group, while the file system is mounted for writing.</summary>
    internal UserQuotas? Quotas { get; set; }

    /// <summary>Holds an object. Throws ZfsException: ENOENT if the object is free, EIO.</summary>
    public Dnode HoldObject(ulong obj) =>
        TryHoldObject(obj) ?? throw new ZfsException(Errno.ENOENT, $"object {Id}/{obj} does not exist");

    /// <summary>Holds an object; null if it is free.</summary>
    public Dnode? TryHoldObject(ulong obj)
    {
        if (obj == 0 || obj >= 1UL << 48)
        {
            return null;
        }

        if (FindInTable(obj) is { } found)
        {
            return KeepIfLive(found);
        }

        if (obj >> DnodesPerBlockShift > MetaDnode.MaxBlockId)
        {
            return null;
        }

        Dbuf db = MetaDnode.HoldBlock(obj >> DnodesPerBlockShift);
        try
        {
            return LoadDnode(obj, db);
        }
        finally
        {
            db.Release();
        }
    }

    /// <summary>Allocates an object and returns it held.</summary>
    public Dnode AllocateObject(DmuOt type, int blockSize, DmuOt bonusType, int bonusLength, DmuTx tx)
    {
        Dnode fresh = Spa.TakeDnode();
        _allocMutex.Enter();
        Dnode dn;
        try
        {
            ulong obj = WantedObject != 0 ? TakeWanted() : NextFreeObject();
            fresh.Attach(this, obj, null);
            fresh.InitNew(type, blockSize, bonusType, bonusLength);
            dn = AddToTable(fresh);
            if (!ReferenceEquals(dn, fresh))
            {
                throw new InvalidOperationException($"object {Id}/{obj} allocated twice");
            }
        }
        finally
        {
            _allocMutex.Exit();
        }

        dn.Dirty(tx).Allocated = true;
        dn.DirtyBonus(tx);
        return dn;
    }

    /// <summary>The number that the next object gets, for the replay of the intent log; 0: any.</summary>
    internal ulong WantedObject { get; set; }

    /// <summary>Frees a held object and all its blocks. The hold remains and must be released.</summary>
    public void FreeObject(Dnode dn, DmuTx tx)
    {
        DnodeChange change = dn.Dirty(tx);
        dn.DropBlocks(0, ulong.MaxValue, tx.Txg);
        change.Freed = true;
        dn.FreedTxg = tx.Txg;
        dn.ChargeFree(change, dn.UsedBytes);
    }

    /// <summary>Space for statfs: bytes referenced by the dataset, and bytes that can still be written.</summary>
    public void GetSpace(out ulong used, out ulong available) => Dataset!.GetSpace(out used, out available);

    /// <summary>Objects in use, from the fill counts.</summary>
    public ulong ObjectCount
    {
        get
        {
            ulong n = 0;
            MetaDnode.StructLock.EnterRead();
            for (int i = 0; i < MetaDnode.Phys->BlkptrCount; i++)
            {
                Blkptr* bp = DnodePhys.BlkptrAt(MetaDnode.Phys, i);
                n += bp->IsHole ? 0 : bp->Fill;
            }

            MetaDnode.StructLock.Exit();
            return n;
        }
    }

    internal void AddDirtyDnode(Dnode dn, DmuTx tx)
    {
        if (IsReadOnly)
        {
            throw new InvalidOperationException($"{dn} changed in a read-only object set");
        }

        int slot = TxgSlots<int>.Index(tx.Txg);
        _dirtyMutex.Enter();
        bool first = _dirty[slot].Count == 0;
        _dirty[slot].Add(dn);
        _dirtyMutex.Exit();
        if (first)
        {
            Spa.AddDirtyObjset(this, tx.Txg);
        }
    }

    internal bool IsDirty(ulong txg) => _dirty[TxgSlots<int>.Index(txg)].Count > 0;

    /// <summary>The last hold of a dnode went: out of memory with it, unless somebody came back for it.</summary>
    internal void DropIfUnheld(Dnode dn)
    {
        _tableMutex.Enter();
        bool drop = dn.InTable && ReferenceEquals(dn.Objset, this) && Katomic.Load(ref dn.Holds) == 0;
        if (drop)
        {
            _table.Remove(dn.Object);
            dn.InTable = false;
        }

        _tableMutex.Exit();
        if (drop)
        {
            dn.Detach();
            Spa.PutDnode(dn);
        }
    }

    internal void NoteFreed(ulong obj)
    {
        _freedMutex.Enter();
        _lowestFreed = Math.Min(_lowestFreed, obj);
        _freedSinceRewind++;
        _freedMutex.Exit();
    }

    /// <summary>
    /// Makes a dnode of what its block says. Between the look and the entry in the table (memory has to be found) somebody else may have
    /// loaded, changed, synced and dropped the object, so the entry is made only while the block still says the same.
    /// </summary>
    private Dnode? LoadDnode(ulong obj, Dbuf block)
    {
        byte* copy = stackalloc byte[DnodePhys.SizeOf];
        var phys = (DnodePhys*)copy;
        while (true)
        {
            CopyDnode(block, obj, copy);
            if (phys->Type == DmuOt.None)
            {
                return FindInTable(obj) is { } late ? KeepIfLive(late) : null;
            }

            if (DnodePhys.Problem(phys) is { } problem)
            {
                throw new ZfsException(Errno.EIO, $"object {Id}/{obj} is damaged: {problem}");
            }

            Dnode fresh = Spa.TakeDnode();
            fresh.Attach(this, obj, phys);
            block.Mutex.Enter();
            bool current = new Span<byte>(block.Data + Within(obj), DnodePhys.SizeOf).SequenceEqual(new Span<byte>(copy, DnodePhys.SizeOf));
            Dnode? dn = current ? AddToTable(fresh) : null;
            block.Mutex.Exit();
            if (dn is not null)
            {
                return KeepIfLive(dn);
            }

            fresh.Detach();
            Spa.PutDnode(fresh);
        }
    }

    private static int Within(ulong obj) => (int)(obj & ((1 << DnodesPerBlockShift) - 1)) << DnodePhys.Shift;

    private static void CopyDnode(Dbuf block, ulong obj, byte* copy)
    {
        block.Mutex.Enter();
        Buffer.MemoryCopy(block.Data + Within(obj), copy, DnodePhys.SizeOf, DnodePhys.SizeOf);
        block.Mutex.Exit();
    }

    private Dnode? FindInTable(ulong obj)
    {
        _tableMutex.Enter();
        if (_table.TryGetValue(obj, out Dnode? dn))
        {
            dn.AddHold();
        }

        _tableMutex.Exit();
        return dn;
    }

    private static Dnode? KeepIfLive(Dnode dn)
    {
        if (dn.FreedTxg == 0)
        {
            return dn;
        }

        dn.Release();
        return null;
    }

    /// <summary>Enters a dnode, or finds that another thread has. The result is held once more.</summary>
    private Dnode AddToTable(Dnode fresh)
    {
        _tableMutex.Enter();
        if (!_table.TryGetValue(fresh.Object, out Dnode? dn))
        {
            dn = fresh;
            dn.InTable = true;
            _table.Add(dn.Object, dn);
        }

        dn.AddHold();
        _tableMutex.Exit();
        if (!ReferenceEquals(dn, fresh))
        {
            fresh.Detach();
            Spa.PutDnode(fresh);
        }

        return dn;
    }

    private void ReadDnode(ulong obj, byte* copy)
    {
        Dbuf db = MetaDnode.HoldBlock(obj >> DnodesPerBlockShift);
        CopyDnode(db, obj, copy);
        db.Release();
    }

    /// <summary>
    /// A free object number: the cursor moves up; when much has been freed it starts again at the lowest freed number. Blocks whose
    /// pointer says they are full are passed over unread. AllocMutex held.
    /// </summary>
    private ulong NextFreeObject()
    {
        const int RewindAfter = 1024;
        _freedMutex.Enter();
        if (_freedSinceRewind >= RewindAfter)
        {
            _nextObject = Math.Max(1, _lowestFreed);
            _lowestFreed = ulong.MaxValue;
            _freedSinceRewind = 0;
        }

        _freedMutex.Exit();

        byte* copy = stackalloc byte[DnodePhys.SizeOf];
        while (true)
        {
            ulong obj = _nextObject;
            ulong block = obj >> DnodesPerBlockShift;
            if (block > MetaDnode.MaxBlockId || (block == 0 && MetaDnode.Phys->UsedBytes == 0))
            {
                _nextObject = obj + 1;
                if (IsInTable(obj))
                {
                    continue;
                }

                return obj;
            }

            if ((obj & ((1 << DnodesPerBlockShift) - 1)) == 0
                && MetaDnode.FindBlkptr(0, block, out Blkptr bp) && bp.Fill >= 1UL << DnodesPerBlockShift)
            {
                _nextObject = (block + 1) << DnodesPerBlockShift;
                continue;
            }

            _nextObject = obj + 1;
            if (IsInTable(obj))
            {
                continue;
            }

            ReadDnode(obj, copy);
            if (((DnodePhys*)copy)->Type == DmuOt.None && !IsInTable(obj))
            {
                return obj;
            }
        }
    }

    /// <summary>The wanted number, if it is free. AllocMutex held.</summary>
    private ulong TakeWanted()
    {
        ulong obj = WantedObject;
        WantedObject = 0;
        Dnode? there = TryHoldObject(obj);
        there?.Release();
        return obj < 1UL << 48 && there is null && !IsInTable(obj) ? obj
            : throw new ZfsException(Errno.EEXIST, $"object {Id}/{obj}, which the intent log makes, is there already");
    }

    private bool IsInTable(ulong obj)
    {
        _tableMutex.Enter();
        bool there = _table.ContainsKey(obj);
        _tableMutex.Exit();
        return there;
    }
}
