using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>The object set's own block and the dataset properties that decide how its blocks are written.</summary>
public sealed unsafe partial class Objset
{
    private byte* _osPhys;
    private readonly Stack<List<Dnode>> _spareLists = new();

    /// <summary>Compression of data blocks; metadata is always tried with lzjb.</summary>
    public ZioCompressType Compression { get; internal set; } = ZioCompressType.Off;

    /// <summary>Checksum of data blocks.</summary>
    public ZioChecksumType ChecksumType { get; internal set; } = ZioChecksumType.Fletcher4;

    /// <summary>Copies of data blocks, 1 to 3; metadata has one more.</summary>
    public int Copies { get; internal set; } = 1;

    /// <summary>Block size of files that have more than one block, bytes.</summary>
    public int RecordSize { get; internal set; } = 131072;

    /// <summary>The dataset's atime property.</summary>
    public bool AtimeOn { get; internal set; } = true;

    internal int PhysSize { get; private set; }

    internal UserAccounting Accounting { get; } = new();

    /// <summary>The per-user and per-group accounts are kept: an older system left them complete.</summary>
    internal bool HasUserAccounting => _osPhys is not null && Phys->Type == ObjsetPhys.TypeZfs && PhysSize >= ObjsetPhys.SizeOf
        && (Phys->Flags & ObjsetPhys.FlagUserAccountingComplete) != 0 && Phys->UserUsedDnode.Type != DmuOt.None;

    /// <summary>Head of the intent log, as last synced. Changed by the sync thread, and before it runs.</summary>
    internal ZilHeader* ZilHeader => &Phys->ZilHeader;

    /// <summary>The intent log of the file system mounted from it; null: none, or read-only.</summary>
    internal Zilog? Log { get; set; }

    /// <summary>The dataset's sync property.</summary>
    public SyncMode SyncMode { get; internal set; }

    /// <summary>The dataset's logbias property.</summary>
    public LogBias LogBias { get; internal set; }

    private ObjsetPhys* Phys => (ObjsetPhys*)_osPhys;

    /// <summary>Reads the object set from its block pointer. Throws ZfsException.</summary>
    internal void Load(in Blkptr root)
    {
        if (root.IsHole || root.Type != DmuOt.Objset || root.LogicalSize is not (ObjsetPhys.SizeOf or ObjsetPhys.OldSizeOf))
        {
            throw new ZfsException(Errno.EIO, $"object set {Id}: bad block pointer {root}");
        }

        PhysSize = root.LogicalSize;
        _osPhys = KmemAllocator.Zalloc(ObjsetPhys.SizeOf, KmFlags.Sleep);
        try
        {
            int error = Spa.ReadBlock(root, _osPhys);
            if (error != 0)
            {
                throw new ZfsException(error, $"object set {Id}: {root} can't be read");
            }

            AttachSpecials();
        }
        catch
        {
            KmemAllocator.Free(_osPhys, ObjsetPhys.SizeOf);
            _osPhys = null;
            throw;
        }

        Kind = Phys->Type;
    }

    /// <summary>Drops everything in memory. Nothing may be held or dirty.</summary>
    internal void Unload()
    {
        if (_osPhys is null)
        {
            return;
        }

        Spa.Arc.DropAll(this);
        _tableMutex.Enter();
        int left = _table.Count;
        string sample = left > 0 ? string.Join(", ", _table.Values.Take(5).Select(static d => $"{d} ({d.Holds})")) : "";
        _tableMutex.Exit();
        if (left > 0)
        {
            throw new InvalidOperationException($"object set {Id}: {left} dnodes are still held: {sample}");
        }

        MetaDnode.DetachSpecial();
        if (PhysSize >= ObjsetPhys.SizeOf)
        {
            UserUsed.DetachSpecial();
            GroupUsed.DetachSpecial();
        }

        KmemAllocator.Free(_osPhys, ObjsetPhys.SizeOf);
        _osPhys = null;
    }

    /// <summary>The special dnodes' current images go into the object set's block, which is returned.</summary>
    internal byte* UpdatePhys()
    {
        Phys->MetaDnode = *MetaDnode.Phys;
        if (PhysSize >= ObjsetPhys.SizeOf)
        {
            Phys->UserUsedDnode = *UserUsed.Phys;
            Phys->GroupUsedDnode = *GroupUsed.Phys;
        }

        return _osPhys;
    }

    /// <summary>In the sync thread, before the block is written: the log's head.</summary>
    internal void SyncLog(DmuTx tx) => Log?.Sync(tx, ZilHeader);

    /// <summary>The dirty dnodes of a txg; the caller gives the list back.</summary>
    internal List<Dnode> TakeDirty(ulong txg)
    {
        int slot = TxgSlots<int>.Index(txg);
        _dirtyMutex.Enter();
        List<Dnode> list = _dirty[slot];
        _dirty[slot] = _spareLists.Count > 0 ? _spareLists.Pop() : [];
        _dirtyMutex.Exit();
        return list;
    }

    internal void GiveBack(List<Dnode> list)
    {
        list.Clear();
        _dirtyMutex.Enter();
        _spareLists.Push(list);
        _dirtyMutex.Exit();
    }

    internal int CopiesFor(bool metadata) => IsMos ? 3 : Math.Min(3, Copies + (metadata ? 1 : 0));

    internal ZioChecksumType ChecksumFor(bool metadata, ZioChecksumType own)
    {
        ZioChecksumType type = own != ZioChecksumType.Inherit ? own : ChecksumType;
        if (metadata)
        {
            return type == ZioChecksumType.Sha256 ? type : ZioChecksumType.Fletcher4;
        }

        return type is ZioChecksumType.On or ZioChecksumType.Inherit ? ZioChecksumType.Fletcher4 : type;
    }

    internal ZioCompressType CompressFor(bool metadata, ZioCompressType own)
    {
        if (metadata)
        {
            return own == ZioCompressType.Off ? ZioCompressType.Off : ZioCompressType.Lzjb;
        }

        ZioCompressType type = own != ZioCompressType.Inherit ? own : Compression;
        return type is ZioCompressType.On ? ZioCompressType.Lzjb : type is ZioCompressType.Inherit ? ZioCompressType.Off : type;
    }

    private void AttachSpecials()
    {
        ObjsetPhys* phys = Phys;
        if (DnodePhys.Problem(&phys->MetaDnode) is { } problem || phys->MetaDnode.Type != DmuOt.Dnode
            || phys->MetaDnode.DataBlockSize != 1 << (DnodesPerBlockShift + DnodePhys.Shift))
        {
            throw new ZfsException(Errno.EIO, $"object set {Id}: its meta-dnode is damaged");
        }

        bool hasAccounts = PhysSize >= ObjsetPhys.SizeOf;
        if (hasAccounts && (DnodePhys.Problem(&phys->UserUsedDnode) is not null || DnodePhys.Problem(&phys->GroupUsedDnode) is not null))
        {
            throw new ZfsException(Errno.EIO, $"object set {Id}: its accounting dnodes are damaged");
        }

        MetaDnode.AttachSpecial(this, 0, &phys->MetaDnode);
        if (!hasAccounts)
        {
            return;
        }

        UserUsed.AttachSpecial(this, UserUsedObject, &phys->UserUsedDnode);
        GroupUsed.AttachSpecial(this, GroupUsedObject, &phys->GroupUsedDnode);
    }
}
