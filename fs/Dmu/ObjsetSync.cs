using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// Writes one object set for one txg, in the sync thread. Order: the structure of every dirty dnode (births, deaths, bonus, freed ranges,
/// depth); then all dirty data blocks, then indirect blocks level by level, over all dnodes at once so that the pipeline and the disk
/// see large batches; then the dnodes themselves go into the meta-dnode's blocks, and the meta-dnode is written the same way; last the
/// object set's own block. Space accounting happens here, in one thread, as each new pointer is stored.
/// A block stays dirty, and so in memory, until its pointer is in the tree.
///
/// Indirect blocks that wait for their level's turn are held in memory, and small records far apart have one each. So when there are
/// many of them, or memory is short, what has been begun is written up to the top before the next block is taken; an indirect block that
/// then changes again is written again, in its place.
/// </summary>
internal sealed unsafe class ObjsetSync
{
    private const int BatchBlocks = 2048;
    private const int IndirectsMin = 16;

    private const long BatchBytes = 32L << 20;

    private readonly Spa _spa;
    private readonly List<DbufWrite> _batch = [];
    private readonly List<Dbuf>[] _indirect = new List<Dbuf>[Dnode.MaxLevelCount];
    private DbufWrite? _freeWrites;
    private readonly int _indirectsMax = (int)Math.Max(IndirectsMin, KmemSystem.Current.ArenaBytes / 16 >> Dnode.IndirectShift);
    private long _batchBytes;
    private int _indirects;
    private Objset _os = null!;
    private DmuTx _tx = null!;
    private bool _compressMetadata;
    private UserAccounting? _accounting;

    internal ObjsetSync(Spa spa)
    {
        _spa = spa;
        for (int i = 0; i < _indirect.Length; i++)
        {
            _indirect[i] = [];
        }
    }

    /// <summary>Bytes that the object set gained (allocated, stored, logical) in this pass.</summary>
    internal long UsedDelta { get; private set; }

    /// <summary>Stored bytes gained.</summary>
    internal long CompressedDelta { get; private set; }

    /// <summary>Logical bytes gained.</summary>
    internal long UncompressedDelta { get; private set; }

    private ulong Txg => _tx.Txg;

    /// <summary>Writes what the txg has changed. The new object set block pointer is in <paramref name="root"/>.</summary>
    internal void Sync(Objset os, DmuTx tx, ref Blkptr root, bool compressMetadata)
    {
        _os = os;
        _tx = tx;
        _compressMetadata = compressMetadata;
        UsedDelta = 0;
        CompressedDelta = 0;
        UncompressedDelta = 0;
        List<Dnode> dirty = os.TakeDirty(Txg);
        dirty.Sort(static (a, b) => a.Object.CompareTo(b.Object));
        _accounting = os.HasUserAccounting ? os.Accounting : null;
        SyncDnodes(dirty);
        if (_accounting is { } accounting)
        {
            accounting.Flush(os, tx);
            List<Dnode> special = os.TakeDirty(Txg);
            _accounting = null;
            SyncDnodes(special);
            dirty.AddRange(special);
        }

        StoreDnodes(dirty);
        foreach (Dnode dn in dirty)
        {
            dn.FinishChange(dn.ChangeOf(Txg)!);
        }

        SyncMetaDnode();
        WriteObjsetBlock(ref root);
        os.GiveBack(dirty);
    }

    /// <summary>
    /// Queues one data block. Called by the dnode while it hands over its dirty list; the list's hold comes with it. A block that is
    /// <paramref name="written"/> already is only entered.
    /// </summary>
    internal void SubmitData(Dnode dn, Dbuf db, byte* data, int size, in Blkptr written)
    {
        if (_indirects >= _indirectsMax || (_spa.IsShort && (_batch.Count > 0 || _indirects > 0)))
        {
            FinishBatch();
            SyncIndirects();
        }

        DbufWrite w = Take(dn, db);
        w.Data = data;
        w.LogicalSize = size;
        w.Fill = dn.IsMeta ? CountDnodes(data, size) : 1;
        if (written.IsHole)
        {
            Submit(w);
        }
        else
        {
            w.Bp = written;
            w.BecameHole = false;
            _batch.Add(w);
        }

        if (_batch.Count >= BatchBlocks || _batchBytes >= BatchBytes)
        {
            FinishBatch();
        }
    }

    /// <summary>Between two steps: if memory is short, what is pinned is written first.</summary>
    internal void Relieve()
    {
        if (_indirects > 0 && _spa.IsShort)
        {
            FinishBatch();
            SyncIndirects();
        }
    }

    /// <summary>An indirect block has a new pointer in it: it is written when its level's turn comes.</summary>
    internal void MarkIndirectDirty(Dbuf db)
    {
        if (db.IndirectDirty)
        {
            return;
        }

        db.IndirectDirty = true;
        Kmem.Spl.Katomic.Increment(ref db.Holds);
        _indirect[db.Level].Add(db);
        _indirects++;
    }

    /// <summary>An indirect block has no pointers left and will not be written.</summary>
    internal static void ForgetIndirect(Dbuf db) => db.IndirectDirty = false;

    /// <summary>A block is no longer referenced by the head.</summary>
    internal void Kill(in Blkptr bp)
    {
        UsedDelta -= (long)bp.Asize;
        CompressedDelta -= bp.PhysicalSize;
        UncompressedDelta -= bp.UncompressedSize;
        if (_os.Dataset is { } ds)
        {
            ds.BlockKilled(bp, _tx);
        }
        else
        {
            _spa.FreeBlock(bp, Txg);
        }
    }

    /// <summary>A block is newly referenced.</summary>
    internal void Born(in Blkptr bp)
    {
        UsedDelta += (long)bp.Asize;
        CompressedDelta += bp.PhysicalSize;
        UncompressedDelta += bp.UncompressedSize;
        _os.Dataset?.BlockBorn(bp);
    }

    private static ulong CountDnodes(byte* data, int size)
    {
        ulong n = 0;
        for (int i = 0; i < size; i += DnodePhys.SizeOf)
        {
            n += data[i] != 0 ? 1UL : 0;
        }

        return n;
    }

    private void SyncDnodes(List<Dnode> dirty)
    {
        foreach (Dnode dn in dirty)
        {
            DnodeChange change = dn.ChangeOf(Txg) ?? throw new InvalidOperationException($"{dn} is listed dirty in txg {Txg} without a change");
            _accounting?.Before(dn);
            dn.SyncStructure(change, this);
        }

        foreach (Dnode dn in dirty)
        {
            dn.CollectDirty(dn.ChangeOf(Txg)!, this);
        }

        FinishBatch();
        SyncIndirects();
        if (_accounting is { } accounting)
        {
            foreach (Dnode dn in dirty)
            {
                accounting.After(dn, dn.ChangeOf(Txg)!);
            }
        }
    }

    private void SyncIndirects()
    {
        for (int level = 1; level < _indirect.Length; level++)
        {
            List<Dbuf> list = _indirect[level];
            for (int i = 0; i < list.Count; i++)
            {
                Dbuf db = list[i];
                if (!db.IndirectDirty)
                {
                    db.Release();
                    continue;
                }

                SubmitIndirect(db);
                if (_batch.Count >= BatchBlocks || _spa.IsShort)
                {
                    FinishBatch();
                }
            }

            _indirects -= list.Count;
            list.Clear();
            FinishBatch();
        }
    }

    private void SubmitIndirect(Dbuf db)
    {
        DbufWrite w = Take(db.Dn!, db);
        w.Data = db.Data;
        w.LogicalSize = db.Size;
        ulong fill = 0;
        for (int i = 0; i < db.Size; i += Blkptr.SizeOf)
        {
            var bp = (Blkptr*)(db.Data + i);
            fill += bp->IsHole ? 0 : bp->Fill;
        }

        w.Fill = fill;
        Submit(w);
    }

    private DbufWrite Take(Dnode dn, Dbuf db)
    {
        DbufWrite w = _freeWrites ?? new DbufWrite();
        _freeWrites = w.NextFree;
        w.NextFree = null;
        w.Db = db;
        w.Parent = dn.HoldParent(db.Level, db.BlockId);
        Blkptr old = *dn.Locate(db.Level, db.BlockId, w.Parent);
        bool metadata = db.Level > 0 || DmuOtInfo.IsMetadata(dn.Type);
        w.Type = dn.Type;
        w.Level = db.Level;
        w.Txg = Txg;
        w.Copies = _os.CopiesFor(metadata);
        w.ChecksumType = _os.ChecksumFor(metadata, dn.Phys->Checksum);
        w.Compress = metadata && !_compressMetadata ? ZioCompressType.Off : _os.CompressFor(metadata, dn.Phys->Compress);
        w.HasRewrite = !old.IsHole && old.Birth == Txg && !old.IsGang;
        w.RewriteBp = old;
        return w;
    }

    private void Submit(DbufWrite w)
    {
        _batch.Add(w);
        _batchBytes += w.LogicalSize;
        _spa.Pipeline.Submit(w);
    }

    /// <summary>Waits for the batch and stores the pointers, in submission order.</summary>
    private void FinishBatch()
    {
        if (_batch.Count == 0)
        {
            return;
        }

        int error = _spa.Pipeline.WaitAll();
        if (error != 0)
        {
            _spa.Fail(error);
        }

        int slot = TxgSlots<int>.Index(Txg);
        foreach (DbufWrite w in _batch)
        {
            Dbuf db = w.Db!;
            db.Dn!.StoreBlkptr(w, this);
            if (db.Level == 0)
            {
                db.Mutex.Enter();
                db.FinishDirty(slot);
                db.Mutex.Exit();
            }
            else
            {
                db.IndirectDirty = false;
            }

            db.Release();
            w.Parent?.Release();
            w.Parent = null;
            w.Db = null;
            w.NextFree = _freeWrites;
            _freeWrites = w;
        }

        _batch.Clear();
        _batchBytes = 0;
    }

    /// <summary>Stores dnodes, in the order of their numbers; what that makes of dirty blocks is written now and then.</summary>
    private void StoreDnodes(List<Dnode> dirty)
    {
        const int BlocksMax = 64;
        ulong last = ulong.MaxValue;
        int blocks = 0;
        foreach (Dnode dn in dirty)
        {
            ulong block = dn.Object >> Objset.DnodesPerBlockShift;
            blocks += block != last ? 1 : 0;
            last = block;
            if ((blocks > BlocksMax || (blocks > 1 && _spa.IsShort)) && _os.MetaDnode.ChangeOf(Txg) is { } change)
            {
                _os.MetaDnode.SyncStructure(change, this);
                _os.MetaDnode.CollectDirty(change, this);
                FinishBatch();
                blocks = 1;
            }

            StoreDnode(dn);
        }
    }

    /// <summary>Copies a dnode into its place: the meta-dnode's block, or the object set's own.</summary>
    private void StoreDnode(Dnode dn)
    {
        if (dn.IsSpecial)
        {
            return;
        }

        DnodeChange change = dn.ChangeOf(Txg)!;
        Dnode meta = _os.MetaDnode;
        Dbuf db = meta.HoldBlock(dn.Object >> Objset.DnodesPerBlockShift);
        db.Mutex.Enter();
        try
        {
            db.WillDirtyLocked(_tx);
            int within = (int)(dn.Object & ((1UL << Objset.DnodesPerBlockShift) - 1)) << DnodePhys.Shift;
            dn.CopyPhysTo(db.Data + within, change.Freed);
        }
        finally
        {
            db.Mutex.Exit();
        }

        db.Release();
    }

    private void SyncMetaDnode()
    {
        Dnode meta = _os.MetaDnode;
        DnodeChange? change = meta.ChangeOf(Txg);
        if (change is null)
        {
            return;
        }

        List<Dnode> list = _os.TakeDirty(Txg);
        if (list.Count != 1 || !ReferenceEquals(list[0], meta))
        {
            throw new InvalidOperationException($"{_os.Id}: {list.Count} dnodes became dirty while the txg was written");
        }

        meta.SyncStructure(change, this);
        meta.CollectDirty(change, this);
        FinishBatch();
        SyncIndirects();
        meta.FinishChange(change);
        _os.GiveBack(list);
    }

    private void WriteObjsetBlock(ref Blkptr root)
    {
        byte* phys = _os.UpdatePhys();
        DbufWrite w = _freeWrites ?? new DbufWrite();
        _freeWrites = w.NextFree;
        w.NextFree = null;
        w.Data = phys;
        w.LogicalSize = _os.PhysSize;
        w.Type = DmuOt.Objset;
        w.Level = 0;
        w.Txg = Txg;
        w.Copies = _os.CopiesFor(metadata: true);
        w.ChecksumType = _os.ChecksumFor(true, ZioChecksumType.Inherit);
        w.Compress = _compressMetadata ? _os.CompressFor(true, ZioCompressType.Inherit) : ZioCompressType.Off;
        w.Fill = _os.ObjectCount;
        w.HasRewrite = !root.IsHole && root.Birth == Txg;
        w.RewriteBp = root;
        _spa.Pipeline.Submit(w);
        int error = _spa.Pipeline.WaitAll();
        if (error != 0)
        {
            _spa.Fail(error);
        }

        bool inPlace = w.HasRewrite && w.Bp.Dva0.Equals(root.Dva0);
        if (!inPlace)
        {
            if (!root.IsHole)
            {
                Kill(root);
            }

            Born(w.Bp);
        }

        root = w.Bp;
        w.NextFree = _freeWrites;
        _freeWrites = w;
    }
}
