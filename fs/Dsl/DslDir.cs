using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// A DSL directory (dsl_dir_t): a name in the tree of datasets, its properties, and the space of everything below it. The account is
/// changed by the sync thread alone; readers see values of the last change.
/// </summary>
public sealed unsafe class DslDir
{
    private DslDirPhys _phys;
    private bool _dirty;
    private long _inflight;
    private long _expectedFree;

    internal DslDir(Spa spa, ulong obj, string name, DslDir? parent, in DslDirPhys phys)
    {
        Spa = spa;
        Object = obj;
        Name = name;
        Parent = parent;
        _phys = phys;
        if (HasBreakdown)
        {
            spa.AddUnusedReserved(Spa.Clamped(phys.UsedBreakdown[DslDirPhys.UsedChildReserved]));
            spa.AddUnusedReserved(Spa.Clamped(phys.UsedBreakdown[DslDirPhys.UsedRefReserved]));
        }
    }

    /// <summary>The pool.</summary>
    public Spa Spa { get; }

    /// <summary>Object in the MOS.</summary>
    public ulong Object { get; }

    /// <summary>Full name, pool first.</summary>
    public string Name { get; }

    /// <summary>The directory above, null for the root.</summary>
    public DslDir? Parent { get; }

    /// <summary>The image in the MOS.</summary>
    internal ref readonly DslDirPhys Phys => ref _phys;

    /// <summary>Space of everything below, bytes.</summary>
    public ulong UsedBytes => _phys.UsedBytes;

    /// <summary>Stored bytes below.</summary>
    public ulong CompressedBytes => _phys.CompressedBytes;

    /// <summary>Logical bytes below.</summary>
    public ulong UncompressedBytes => _phys.UncompressedBytes;

    /// <summary>Quota on <see cref="UsedBytes"/>, 0: none.</summary>
    public ulong Quota => _phys.Quota;

    /// <summary>Bytes set aside for it and all below, used or not; 0: none.</summary>
    public ulong Reserved => _phys.Reserved;

    internal bool HasBreakdown => (_phys.Flags & DslDirPhys.FlagUsedBreakdown) != 0;

    /// <summary>What of a refreservation is not used yet, bytes.</summary>
    public ulong RefReservedUnused => _phys.UsedBreakdown[DslDirPhys.UsedRefReserved];

    /// <summary>Bytes that txgs not yet written may add here and below, and what assigned transactions were promised.</summary>
    internal long Inflight => Katomic.Load(ref _inflight);

    /// <summary>Bytes that txgs not yet written are expected to free here and below: a guess.</summary>
    internal long ExpectedFree => Katomic.Load(ref _expectedFree);

    /// <summary>How much of <see cref="Inflight"/> goes into reservations that are counted as used already. Guarded by the pool's space mutex.</summary>
    internal long Covered { get; set; }

    /// <summary>Adds to <see cref="Inflight"/>, here and up to the root.</summary>
    internal void AddInflight(long bytes)
    {
        for (DslDir? dir = this; dir is not null; dir = dir.Parent)
        {
            Katomic.Add(ref dir._inflight, bytes);
        }
    }

    /// <summary>Adds to <see cref="ExpectedFree"/>, here and up to the root.</summary>
    internal void AddExpectedFree(long bytes)
    {
        for (DslDir? dir = this; dir is not null; dir = dir.Parent)
        {
            Katomic.Add(ref dir._expectedFree, bytes);
        }
    }

    /// <summary>Sets the quota, in the sync thread.</summary>
    internal void SetQuota(ulong bytes)
    {
        _phys.Quota = bytes;
        MarkDirty();
    }

    /// <summary>Sets the reservation, in the sync thread: the directories above are charged for what of it is not used.</summary>
    internal void SetReserved(ulong bytes)
    {
        long delta = (long)(Math.Max(_phys.UsedBytes, bytes) - Math.Max(_phys.UsedBytes, _phys.Reserved));
        _phys.Reserved = bytes;
        MarkDirty();
        Parent?.DidUse(DslDirPhys.UsedChildReserved, delta, 0, 0);
    }

    /// <summary>Space used or gained by one kind of user (dsl_dir_diduse_space). Goes up to the root.</summary>
    internal void DidUse(int kind, long used, long compressed, long uncompressed)
    {
        long before = (long)_phys.UsedBytes;
        Add(kind, used);
        _phys.UsedBytes = Checked(before + used, "used");
        _phys.CompressedBytes = Checked((long)_phys.CompressedBytes + compressed, "compressed");
        _phys.UncompressedBytes = Checked((long)_phys.UncompressedBytes + uncompressed, "uncompressed");
        MarkDirty();
        if (Parent is null)
        {
            return;
        }

        long reserved = (long)_phys.Reserved;
        long accounted = Math.Max(before + used, reserved) - Math.Max(before, reserved);
        Parent.DidUse(DslDirPhys.UsedChild, accounted, compressed, uncompressed);
        Parent.Transfer(DslDirPhys.UsedChildReserved, DslDirPhys.UsedChild, used - accounted);
    }

    /// <summary>Moves space from one kind to another (dsl_dir_transfer_space).</summary>
    internal void Transfer(int from, int to, long bytes)
    {
        if (bytes == 0)
        {
            return;
        }

        Add(from, -bytes);
        Add(to, bytes);
        MarkDirty();
    }

    /// <summary>Gives the directory a ZAP of properties, if it has none.</summary>
    internal void SetPropsZap(ulong obj)
    {
        _phys.PropsZap = obj;
        MarkDirty();
    }

    internal void Flush(DmuTx tx)
    {
        if (!_dirty)
        {
            return;
        }

        _dirty = false;
        Dnode dn = Spa.Mos.HoldObject(Object);
        try
        {
            dn.DirtyBonus(tx);
            *(DslDirPhys*)dn.Bonus = _phys;
        }
        finally
        {
            dn.Release();
        }
    }

    private void MarkDirty()
    {
        if (!_dirty)
        {
            _dirty = true;
            Spa.AddDirtyDir(this);
        }
    }

    private void Add(int kind, long bytes)
    {
        if (HasBreakdown)
        {
            _phys.UsedBreakdown[kind] = Checked((long)_phys.UsedBreakdown[kind] + bytes, kind);
            if (kind is DslDirPhys.UsedChildReserved or DslDirPhys.UsedRefReserved)
            {
                Spa.AddUnusedReserved(bytes);
            }
        }
    }

    private ulong Checked(long value, int kind) => value >= 0 ? (ulong)value : throw Damaged($"breakdown {kind}", value);

    private ulong Checked(long value, string what) => value >= 0 ? (ulong)value : throw Damaged(what, value);

    private ZfsException Damaged(string what, long value) =>
        new(Errno.EIO, $"directory {Name}: its account is damaged: {what} would be {value}");
}
