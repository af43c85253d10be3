using ZfsLite.Kmem.Spl;
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
    private long _inflight;
    private long _expectedFree;

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

    /// <summary>Quota on <see cref="UsedBytes"/>, 0: none.</summary>
    public ulong RefQuota { get; internal set; }

    /// <summary>Bytes set aside for what the head refers to and no snapshot has; 0: none.</summary>
    public ulong RefReserved { get; internal set; }

    /// <summary>What of <see cref="RefReserved"/> is not used yet.</summary>
    internal long UnusedReserve => Spa.Clamped(RefReserved > _phys.UniqueBytes ? RefReserved - _phys.UniqueBytes : 0);

    /// <summary>It or a directory above has a quota or a reservation.</summary>
    internal bool IsLimited { get; set; }

    /// <summary>As <see cref="DslDir.Inflight"/>, of this dataset alone.</summary>
    internal long Inflight => Katomic.Load(ref _inflight);

    /// <summary>As <see cref="DslDir.ExpectedFree"/>, of this dataset alone.</summary>
    internal long ExpectedFree => Katomic.Load(ref _expectedFree);

    /// <summary>As <see cref="DslDir.Covered"/>, by <see cref="RefReserved"/>.</summary>
    internal long Covered => Math.Min(Inflight, UnusedReserve);

    /// <summary>Bytes referenced, and bytes that can still be written here: under every quota, and with what is reserved for it.</summary>
    public void GetSpace(out ulong used, out ulong available)
    {
        used = _phys.UsedBytes;
        long space = Dir.Spa.SpaceAvailable(Dir) + UnusedReserve;
        if (RefQuota != 0)
        {
            space = Math.Min(space, Spa.Clamped(RefQuota > used ? RefQuota - used : 0));
        }

        available = (ulong)Math.Max(0, space);
    }

    /// <summary>Bytes are dirty, or promised to a transaction; negative: no longer.</summary>
    internal void AddInflight(long bytes)
    {
        Katomic.Add(ref _inflight, bytes);
        Dir.AddInflight(bytes);
    }

    /// <summary>A txg that is not written yet will free about so many bytes; negative: it did.</summary>
    internal void AddExpectedFree(long bytes)
    {
        Katomic.Add(ref _expectedFree, bytes);
        Dir.AddExpectedFree(bytes);
    }

    /// <summary>Sets the refreservation, in the sync thread: the directory is charged for what of it is not used.</summary>
    internal void SetRefReserved(ulong bytes)
    {
        long before = UnusedReserve;
        RefReserved = bytes;
        Dir.DidUse(DslDirPhys.UsedRefReserved, UnusedReserve - before, 0, 0);
    }

    /// <summary>A new block is referenced.</summary>
    internal void BlockBorn(in Blkptr bp)
    {
        long used = (long)bp.Asize;
        long charged = ChargeFor(used);
        _phys.UsedBytes += bp.Asize;
        _phys.CompressedBytes += (ulong)bp.PhysicalSize;
        _phys.UncompressedBytes += (ulong)bp.UncompressedSize;
        _phys.UniqueBytes += bp.Asize;
        _dirty = true;
        Dir.DidUse(DslDirPhys.UsedHead, charged, bp.PhysicalSize, bp.UncompressedSize);
        Dir.Transfer(DslDirPhys.UsedRefReserved, DslDirPhys.UsedHead, used - charged);
    }

    /// <summary>A block is no longer referenced.</summary>
    internal void BlockKilled(in Blkptr bp, DmuTx tx)
    {
        long used = (long)bp.Asize;
        if (bp.Birth > _phys.PrevSnapTxg)
        {
            Dir.Spa.FreeBlock(bp, tx.Txg);
            long charged = ChargeFor(-used);
            _phys.UniqueBytes -= bp.Asize;
            Dir.DidUse(DslDirPhys.UsedHead, charged, -bp.PhysicalSize, -bp.UncompressedSize);
            Dir.Transfer(DslDirPhys.UsedRefReserved, DslDirPhys.UsedHead, -used - charged);
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

    /// <summary>How many of the bytes gained (negative: lost) the directory has to answer for: those that the refreservation has not taken already.</summary>
    private long ChargeFor(long bytes)
    {
        if (RefReserved == 0)
        {
            return bytes;
        }

        long unique = (long)_phys.UniqueBytes;
        long reserved = Spa.Clamped(RefReserved);
        return Math.Max(unique + bytes, reserved) - Math.Max(unique, reserved);
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
