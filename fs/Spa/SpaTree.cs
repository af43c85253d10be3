using System.Text;
using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>The tree of datasets: found at the open, and looked up by name. Also the few MOS objects that writing a pool needs.</summary>
public sealed partial class Spa
{
    private const int DatasetsMax = 1 << 16;
    private const ulong ObjectDirectory = 1;

    private readonly SortedDictionary<string, DslDataset> _datasets = new(StringComparer.Ordinal);
    private readonly HashSet<ulong> _seenDirs = [];
    private ulong _originSnapshot;
    private ulong _configObject;
    private ulong _syncBplistObject;
    private bool _bplistPending;

    /// <summary>The directory of the pool's root dataset.</summary>
    public DslDir RootDir { get; private set; } = null!;

    internal DslDir MosDir { get; private set; } = null!;

    /// <summary>Finds a dataset ("pool/fs") or snapshot ("pool/fs@snap"); null if there is none.</summary>
    public DslDataset? FindDataset(string name) => _datasets.GetValueOrDefault(name);

    /// <summary>Finds a dataset by its object; null if it is none that has a name.</summary>
    internal DslDataset? FindDataset(ulong obj)
    {
        foreach (DslDataset ds in _datasets.Values)
        {
            if (ds.Object == obj)
            {
                return ds;
            }
        }

        return null;
    }

    /// <summary>Blocks of a directory's datasets that are not younger than this belong to what it was cloned from.</summary>
    internal ulong OriginTxgOf(DslDir dir) =>
        dir.Phys.Origin != 0 && FindDataset(dir.Phys.Origin) is { } origin ? origin.Phys.CreationTxg : 0;

    /// <summary>All file systems and snapshots, by name.</summary>
    public IReadOnlyList<DatasetInfo> ListDatasets()
    {
        var list = new List<DatasetInfo>();
        foreach (DslDataset ds in _datasets.Values)
        {
            ds.GetSpace(out _, out ulong available);
            ulong logical = ds.UncompressedBytes;
            ulong stored = ds.CompressedBytes;
            list.Add(new DatasetInfo(
                ds.Name,
                ds.Object,
                ds.IsSnapshot,
                ds.IsSnapshot ? ds.UniqueBytes : ds.Dir.UsedBytes,
                ds.IsSnapshot ? 0 : available,
                ds.UsedBytes,
                stored == 0 ? 1.0 : (double)logical / stored,
                ds.CreationTime));
        }

        return list;
    }

    /// <summary>Opens the object set of a dataset or snapshot. ZfsException: ENOENT, EIO. Close it with <see cref="CloseObjset"/>.</summary>
    public Objset OpenObjset(string name)
    {
        DslDataset ds = RequireDataset(name);
        if (ds.Objset is { } open)
        {
            ds.OpenCount++;
            return open;
        }

        var os = new Objset(this, ds.Object, ds, IsReadOnly || ds.IsSnapshot);
        ApplyProperties(os, ds.Dir);
        os.Load(ds.Phys.Bp);
        ds.Objset = os;
        ds.OpenCount = 1;
        return os;
    }

    /// <summary>Closes an object set: the last close waits until its changes are on disk and drops it from memory.</summary>
    public void CloseObjset(Objset os)
    {
        ArgumentNullException.ThrowIfNull(os);
        DslDataset ds = os.Dataset!;
        if (--ds.OpenCount > 0)
        {
            return;
        }

        if (!HasFailed && !os.IsReadOnly)
        {
            Txg.WaitSynced(0);
        }

        Prefetcher.Drain();
        ds.Objset = null;
        if (!HasFailed)
        {
            os.Unload();
        }
    }

    private DslDataset RequireDataset(string name) => FindDataset(name)
        ?? throw new ZfsException(Errno.ENOENT, $"dataset '{name}' does not exist in pool '{Name}'");

    private ulong RequireInDirectory(string name)
    {
        Dnode dn = Mos.HoldObject(ObjectDirectory);
        try
        {
            return Zap.Lookup(dn, name, out ulong value) == 0
                ? value
                : throw new ZfsException(Errno.EIO, $"pool '{Name}': its object directory has no '{name}'");
        }
        finally
        {
            dn.Release();
        }
    }

    private void LoadTree()
    {
        _configObject = RequireInDirectory("config");
        _syncBplistObject = RequireInDirectory("sync_bplist");
        RootDir = LoadDir(RequireInDirectory("root_dataset"), Name, null);
        LoadSpecialDirs();
        LoadDatasets(RootDir, 0);
        LoadLimits();
        CheckWritable();
        Dnode bplist = Mos.HoldObject(_syncBplistObject);
        unsafe
        {
            _bplistPending = ((BplistPhys*)bplist.Bonus)->Entries != 0;
            bplist.Release();
        }
    }

    private void LoadSpecialDirs()
    {
        ulong mos = 0;
        ulong origin = 0;
        ForEachEntry(RootDir.Phys.ChildDirZap, (name, value) =>
        {
            mos = name == "$MOS" ? value : mos;
            origin = name == "$ORIGIN" ? value : origin;
        });
        if (mos == 0 || origin == 0)
        {
            throw new ZfsException(Errno.EIO, $"pool '{Name}': $MOS or $ORIGIN is missing");
        }

        MosDir = LoadDir(mos, Name + "/$MOS", RootDir);
        DslDir originDir = LoadDir(origin, Name + "/$ORIGIN", RootDir);
        _originSnapshot = ReadDataset(originDir.Phys.HeadDataset).PrevSnapObject;
    }

    private unsafe DslDir LoadDir(ulong obj, string name, DslDir? parent)
    {
        if (!_seenDirs.Add(obj) || _seenDirs.Count > DatasetsMax)
        {
            throw new ZfsException(Errno.EIO, $"pool '{Name}': its tree of datasets is damaged at object {obj}");
        }

        Dnode dn = Mos.HoldObject(obj);
        try
        {
            if (dn.Type != DmuOt.DslDir || dn.BonusLength < DslDirPhys.SizeOf)
            {
                throw new ZfsException(Errno.EIO, $"pool '{Name}': object {obj} is no DSL directory");
            }

            return new DslDir(this, obj, name, parent, *(DslDirPhys*)dn.Bonus);
        }
        finally
        {
            dn.Release();
        }
    }

    private unsafe DslDatasetPhys ReadDataset(ulong obj)
    {
        Dnode dn = Mos.HoldObject(obj);
        try
        {
            return dn.Type == DmuOt.DslDataset && dn.BonusLength >= DslDatasetPhys.SizeOf
                ? *(DslDatasetPhys*)dn.Bonus
                : throw new ZfsException(Errno.EIO, $"pool '{Name}': object {obj} is no dataset");
        }
        finally
        {
            dn.Release();
        }
    }

    private void LoadDatasets(DslDir dir, int depth)
    {
        const int DepthMax = 64;
        if (depth > DepthMax)
        {
            throw new ZfsException(Errno.EIO, $"pool '{Name}': datasets nested more than {DepthMax} deep");
        }

        if (dir.Phys.HeadDataset != 0)
        {
            var head = new DslDataset(dir, dir.Phys.HeadDataset, dir.Name, ReadDataset(dir.Phys.HeadDataset));
            _datasets.Add(head.Name, head);
            ForEachEntry(head.Phys.SnapNamesZap, (name, value) =>
            {
                var snap = new DslDataset(dir, value, $"{dir.Name}@{name}", ReadDataset(value));
                _datasets.Add(snap.Name, snap);
            });
        }

        ForEachEntry(dir.Phys.ChildDirZap, (name, value) =>
        {
            if (!name.StartsWith('$'))
            {
                LoadDatasets(LoadDir(value, $"{dir.Name}/{name}", dir), depth + 1);
            }
        });
    }

    private void ForEachEntry(ulong zapObject, Action<string, ulong> action)
    {
        if (zapObject == 0)
        {
            return;
        }

        Dnode dn = Mos.HoldObject(zapObject);
        var entries = new List<(string Name, ulong Value)>();
        try
        {
            Span<byte> buffer = stackalloc byte[256];
            var cursor = new ZapCursor(dn, buffer);
            while (cursor.MoveNext() && entries.Count <= DatasetsMax)
            {
                entries.Add((Encoding.UTF8.GetString(cursor.Name), cursor.Value));
            }
        }
        finally
        {
            dn.Release();
        }

        foreach ((string name, ulong value) in entries)
        {
            action(name, value);
        }
    }

    /// <summary>Pools that this code may read but not yet write, and why.</summary>
    private void CheckWritable()
    {
        if (IsReadOnly)
        {
            return;
        }

        foreach (DslDataset ds in _datasets.Values)
        {
            if (!_writeWithSnapshots && (ds.IsSnapshot || ds.Phys.PrevSnapObject != _originSnapshot))
            {
                ReadOnlyReason = $"dataset '{ds.Name}' {(ds.IsSnapshot ? "is a snapshot" : "has snapshots or is a clone")}: pools with snapshots are read-only for now";
                return;
            }

            if (!ds.IsSnapshot && ReadLogHead(ds) is { IsHole: false, ChecksumType: not ZioChecksumType.Zilog2 })
            {
                ReadOnlyReason = $"dataset '{ds.Name}' has an intent log in a form older than version 23 pools write: mount and unmount it once with ZFS";
                return;
            }
        }
    }

    /// <summary>Frees what an older system put off to the next txg (sync_bplist), once.</summary>
    private unsafe void FreeDeferredBplist(DmuTx tx)
    {
        if (!_bplistPending)
        {
            return;
        }

        _bplistPending = false;
        Dnode dn = Mos.HoldObject(_syncBplistObject);
        try
        {
            ulong entries = ((BplistPhys*)dn.Bonus)->Entries;
            for (ulong i = 0; i < entries; i++)
            {
                Blkptr bp;
                dn.Read(i * Blkptr.SizeOf, Blkptr.SizeOf, (byte*)&bp);
                if (bp.IsHole || bp.Birth > tx.Txg)
                {
                    throw new ZfsException(Errno.EIO, $"pool '{Name}': sync_bplist entry {i} is damaged: {bp}");
                }

                FreeBlock(bp, tx.Txg);
            }

            dn.FreeRange(0, ulong.MaxValue, tx);
            dn.DirtyBonus(tx);
            *(BplistPhys*)dn.Bonus = default;
        }
        finally
        {
            dn.Release();
        }
    }

    /// <summary>Writes the configuration object of the MOS.</summary>
    private unsafe void WriteMosConfig(DmuTx tx)
    {
        PoolConfig config = _config.With(_exporting ? PoolState.Exported : PoolState.Active, tx.Txg, CurrentTops());
        byte[] packed = config.ToMosConfig().Pack();
        Dnode dn = Mos.HoldObject(_configObject);
        try
        {
            int size = (packed.Length + dn.BlockSize - 1) / dn.BlockSize * dn.BlockSize;
            byte[] padded = new byte[size];
            packed.CopyTo(padded, 0);
            fixed (byte* p = padded)
            {
                dn.Write(0, size, p, tx);
            }

            dn.DirtyBonus(tx);
            *(ulong*)dn.Bonus = (ulong)packed.Length;
        }
        finally
        {
            dn.Release();
        }
    }
}
