using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// A dataset (dsl_dataset_t): the head of a file system, or a snapshot. Keeps the account of the blocks that are born and die in it:
/// a block that no snapshot has is freed, one that the previous snapshot shares goes to the deadlist. Sync thread only, except the counters.
/// </summary>
public sealed unsafe class DslDataset
{
    private DslDatasetPhys _phys;
    private bool _dirty;

    internal DslDataset(DslDir dir, ulong obj, string name, in DslDatasetPhys phys)
    {
        Dir = dir;
        Object = obj;
        Name = name;
        _phys = phys;
    }

    /// <summary>Its directory.</summary>
    public DslDir Dir { get; }

    /// <summary>Object in the MOS.</summary>
    public ulong Object { get; }

    /// <summary>Full name: "pool/fs" or "pool/fs@snapshot".</summary>
    public string Name { get; }

    /// <summary>True for a snapshot.</summary>
    public bool IsSnapshot => _phys.ChildCount > 0 && _phys.SnapNamesZap == 0;

    /// <summary>Bytes referenced.</summary>
    public ulong UsedBytes => _phys.UsedBytes;

    /// <summary>Bytes that would come free with it.</summary>
    public ulong UniqueBytes => _phys.UniqueBytes;

    /// <summary>Stored bytes referenced.</summary>
    public ulong CompressedBytes => _phys.CompressedBytes;

    /// <summary>Logical bytes referenced.</summary>
    public ulong UncompressedBytes => _phys.UncompressedBytes;

    /// <summary>Seconds since 1970.</summary>
    public ulong CreationTime => _phys.CreationTime;

    /// <summary>Identity.</summary>
    public ulong Guid => _phys.Guid;

    internal ref readonly DslDatasetPhys Phys => ref _phys;

    /// <summary>The object set, while it is open.</summary>
    internal Objset? Objset { get; set; }

    internal int OpenCount { get; set; }

    /// <summary>A new block is referenced.</summary>
    internal void BlockBorn(in Blkptr bp)
    {
        long used = (long)bp.Asize;
        _phys.UsedBytes += bp.Asize;
        _phys.CompressedBytes += (ulong)bp.PhysicalSize;
        _phys.UncompressedBytes += (ulong)bp.UncompressedSize;
        _phys.UniqueBytes += bp.Asize;
        _dirty = true;
        Dir.DidUse(DslDirPhys.UsedHead, used, bp.PhysicalSize, bp.UncompressedSize);
    }

    /// <summary>A block is no longer referenced.</summary>
    internal void BlockKilled(in Blkptr bp, DmuTx tx)
    {
        long used = (long)bp.Asize;
        if (bp.Birth > _phys.PrevSnapTxg)
        {
            Dir.Spa.FreeBlock(bp, tx.Txg);
            _phys.UniqueBytes -= bp.Asize;
            Dir.DidUse(DslDirPhys.UsedHead, -used, -bp.PhysicalSize, -bp.UncompressedSize);
        }
        else
        {
            Bplist.Append(Dir.Spa.Mos, _phys.DeadlistObject, bp, tx);
            LeaveToSnapshot(bp);
        }

        _phys.UsedBytes -= bp.Asize;
        _phys.CompressedBytes -= (ulong)bp.PhysicalSize;
        _phys.UncompressedBytes -= (ulong)bp.UncompressedSize;
        _dirty = true;
    }

    /// <summary>The previous snapshot keeps the block: if it is now the only one, it is charged for it (format sheet §5.5).</summary>
    private void LeaveToSnapshot(in Blkptr bp)
    {
        if (Dir.Spa.FindDataset(_phys.PrevSnapObject) is { } previous && previous._phys.NextSnapObject == Object
            && bp.Birth > previous._phys.PrevSnapTxg)
        {
            previous._phys.UniqueBytes += bp.Asize;
            previous._dirty = true;
            Dir.Spa.AddDirtyDataset(previous);
        }

        if (bp.Birth > Dir.Spa.OriginTxgOf(Dir))
        {
            Dir.Transfer(DslDirPhys.UsedHead, DslDirPhys.UsedSnap, (long)bp.Asize);
        }
    }

    internal void SetRoot(in Blkptr bp)
    {
        _phys.Bp = bp;
        _dirty = true;
    }

    internal void Flush(DmuTx tx)
    {
        if (!_dirty)
        {
            return;
        }

        _dirty = false;
        Dnode dn = Dir.Spa.Mos.HoldObject(Object);
        try
        {
            dn.DirtyBonus(tx);
            *(DslDatasetPhys*)dn.Bonus = _phys;
        }
        finally
        {
            dn.Release();
        }
    }
}
