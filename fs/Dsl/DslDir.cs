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

    internal DslDir(Spa spa, ulong obj, string name, DslDir? parent, in DslDirPhys phys)
    {
        Spa = spa;
        Object = obj;
        Name = name;
        Parent = parent;
        _phys = phys;
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
        if ((_phys.Flags & DslDirPhys.FlagUsedBreakdown) != 0)
        {
            _phys.UsedBreakdown[kind] = Checked((long)_phys.UsedBreakdown[kind] + bytes, $"breakdown {kind}");
        }
    }

    private ulong Checked(long value, string what) =>
        value >= 0 ? (ulong)value : throw new ZfsException(Errno.EIO, $"directory {Name}: its account is damaged: {what} would be {value}");
}
