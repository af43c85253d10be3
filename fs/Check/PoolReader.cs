namespace ZfsLite.Fs;

/// <summary>
/// A pool read offline, straight from its devices: labels, MOS, directories of datasets, file systems. It shares with the
/// file system proper the definitions of the format and the block reader, and nothing else: no cache of blocks with a state,
/// no DMU, no ZAP code. So a test that reads with this what the file system wrote tests the file system, not a mirror of
/// its faults. One thread at a time. Everything that comes from the disk is checked; what does not make sense throws
/// ZfsException (EIO) with a message that names the place.
/// </summary>
public sealed unsafe class PoolReader : IDisposable
{
    private const int CacheSlots = 512;
    private const int MaxDirDepth = 64;
    private const int MaxConfigBytes = 16 << 20;

    private readonly List<IVdevIo> _devices;
    private readonly Vdev?[] _vdevs;
    private readonly (Dva Key, ulong Birth, byte[] Data)[] _cache = new (Dva, ulong, byte[])[CacheSlots];

    private readonly Dictionary<IVdevIo, VdevLabelScan> _labels;

    private PoolReader(
        List<IVdevIo> devices, Dictionary<IVdevIo, VdevLabelScan> labels, Vdev?[] vdevs, IReadOnlyList<ulong> holes, PoolConfig config, in Uberblock uberblock)
    {
        _devices = devices;
        _labels = labels;
        _vdevs = vdevs;
        Holes = holes;
        Config = config;
        Uberblock = uberblock;
        BlockBudget = vdevs.Sum(v => (long)((v?.Asize ?? 0) >> 9));
        Mos = new OfflineObjset(this, uberblock.RootBp, "MOS");
        if (Mos.Phys.Type != ObjsetPhys.TypeMeta)
        {
            throw new ZfsException(Errno.EIO, $"pool '{config.Name}': the root object set has type {Mos.Phys.Type}");
        }

        foreach (OfflineZapEntry e in ReadZap(Mos, 1))
        {
            ObjectDirectory[e.NameText] = e.First;
        }
    }

    /// <summary>Name, guid, version and state of the pool, from the newest label; its tops are those that are here.</summary>
    public PoolConfig Config { get; }

    /// <summary>The uberblock that the pool is read at.</summary>
    public Uberblock Uberblock { get; }

    /// <summary>Top-level vdevs by id; null where one is missing or was removed.</summary>
    public IReadOnlyList<Vdev?> Vdevs => _vdevs;

    /// <summary>Ids of vdevs that were removed.</summary>
    public IReadOnlyList<ulong> Holes { get; }

    /// <summary>Is a device of the pool missing?</summary>
    public bool HasMissing => Enumerable.Range(0, _vdevs.Length).Any(IsMissing);

    /// <summary>Is the device with this number missing?</summary>
    public bool IsMissing(int id) => _vdevs[id] is null && !Holes.Contains((ulong)id);

    /// <summary>The pool's own object set.</summary>
    public OfflineObjset Mos { get; }

    /// <summary>What object 1 of the MOS names.</summary>
    public Dictionary<string, ulong> ObjectDirectory { get; } = new(StringComparer.Ordinal);

    /// <summary>No honest structure has more blocks than the pool has sectors.</summary>
    public long BlockBudget { get; }

    /// <summary>
    /// Opens the pool that lies on these devices (one leaf each, any order), which the reader then owns. Throws ZfsException with a message
    /// for the user: no labels, devices of different pools, an unsupported feature by name, a missing device.
    /// </summary>
    public static PoolReader Open(IEnumerable<IVdevIo> devices)
    {
        var list = devices.ToList();
        List<(IVdevIo Io, VdevLabelScan Scan)> scans = list.ConvertAll(static io => (io, VdevLabel.Scan(io)));
        var best = default(Uberblock);
        foreach ((_, VdevLabelScan scan) in scans)
        {
            best = scan.HasUberblock && (best.Magic == 0 || scan.Best.IsNewerThan(best)) ? scan.Best : best;
        }

        PoolConfig? newest = null;
        var configs = new List<(PoolConfig Config, IVdevIo Io)>();
        foreach ((IVdevIo io, VdevLabelScan scan) in scans)
        {
            PoolConfig config = CheckDevice(io, scan, best.Magic == 0 ? ulong.MaxValue : best.Txg, newest);
            newest = newest is null || config.Txg > newest.Txg ? config : newest;
            configs.Add((config, io));
        }

        if (newest is null)
        {
            throw new ZfsException(Errno.EINVAL, "no devices given");
        }

        if (best.Magic == 0)
        {
            throw new ZfsException(Errno.EIO, $"pool '{newest.Name}': no valid uberblock on any device");
        }

        var tops = new Dictionary<ulong, (VdevConfig Top, IVdevIo Io)>();
        foreach ((PoolConfig config, IVdevIo io) in configs)
        {
            if (PoolLabels.Stranger(newest, config, io) is { } stranger)
            {
                throw new ZfsException(Errno.EINVAL, stranger);
            }

            if (!tops.TryAdd(config.Tops[0].Id, (config.Tops[0], io)))
            {
                throw new ZfsException(Errno.EINVAL, $"{io.Path}: a second copy of vdev {config.Tops[0].Id} of pool '{config.Name}'");
            }
        }

        Vdev?[] vdevs = MakeVdevs(newest, tops);
        bool whole = tops.Count + newest.Holes.Count >= vdevs.Length;
        PoolConfig all = newest.With(newest.State, newest.Txg, [.. tops.Values.Select(t => t.Top).OrderBy(t => t.Id)]);
        if (whole && all.GuidSum != best.GuidSum)
        {
            throw new ZfsException(Errno.ENXIO, $"pool '{newest.Name}': the devices are not those of the uberblock (sum of guids {all.GuidSum:x}, uberblock {best.GuidSum:x})");
        }

        try
        {
            return new PoolReader(list, scans.ToDictionary(static s => s.Io, static s => s.Scan), vdevs, newest.Holes, all, best);
        }
        catch (ZfsException) when (!whole)
        {
            throw MissingVdevs.Error(all, vdevs.Length - newest.Holes.Count, MissingVdevs.Guess(all, newest.Holes, vdevs.Length, best));
        }
    }

    /// <summary>What the labels of a device said when the pool was opened.</summary>
    internal VdevLabelScan LabelsOf(Vdev vdev) => _labels[vdev.Io];

    /// <summary>The configuration that the MOS has, with every vdev of the pool. Throws ZfsException.</summary>
    public PoolConfig ReadMosConfig()
    {
        OfflineDnode dn = Mos.ReadDnode(ObjectDirectory.TryGetValue("config", out ulong obj)
            ? obj
            : throw new ZfsException(Errno.EIO, $"pool '{Config.Name}': the object directory names no configuration"));
        if (dn.Bonus.Length < sizeof(ulong) || BitConverter.ToUInt64(dn.Bonus) is var size && size > MaxConfigBytes)
        {
            throw new ZfsException(Errno.EIO, $"pool '{Config.Name}': the configuration has an impossible size");
        }

        byte[] packed = new byte[BitConverter.ToUInt64(dn.Bonus)];
        Mos.Read(dn, 0, packed);
        return PoolConfig.FromMosConfig(Nvlist.Parse(packed));
    }

    /// <summary>Reads a block into <paramref name="dst"/>, which has room for its logical size. Throws ZfsException.</summary>
    public void ReadBlock(in Blkptr bp, Span<byte> dst)
    {
        if (ZioReader.Problem(bp) is { } problem)
        {
            throw new ZfsException(Errno.EIO, $"bad block pointer: {problem}");
        }

        if (dst.Length < bp.LogicalSize)
        {
            throw new ZfsException(Errno.EIO, $"a block of {bp.LogicalSize} bytes where {dst.Length} are expected");
        }

        fixed (byte* p = dst)
        {
            int error = ZioReader.Read(_vdevs, bp, p);
            if (error != 0)
            {
                throw new ZfsException(error, $"{(error == Errno.ECKSUM ? "bad checksum in" : "cannot read")} every copy of block {bp}");
            }
        }
    }

    /// <summary>As <see cref="ReadBlock"/>, through a small cache; the bytes are not to be changed.</summary>
    public byte[] ReadMetadata(in Blkptr bp)
    {
        ref (Dva Key, ulong Birth, byte[] Data) slot = ref _cache[(bp.Dva0.Word1 ^ (bp.Dva0.Word1 >> 9)) % CacheSlots];
        if (slot.Data is null || !slot.Key.Equals(bp.Dva0) || slot.Birth != bp.Birth || slot.Data.Length != bp.LogicalSize)
        {
            if (ZioReader.Problem(bp) is { } problem)
            {
                throw new ZfsException(Errno.EIO, $"bad block pointer: {problem}");
            }

            var data = new byte[bp.LogicalSize];
            ReadBlock(bp, data);
            slot = (bp.Dva0, bp.Birth, data);
        }

        return slot.Data;
    }

    /// <summary>Entries of a ZAP object.</summary>
    public IEnumerable<OfflineZapEntry> ReadZap(OfflineObjset os, ulong obj) => ReadZap(os, os.ReadDnode(obj));

    /// <summary>Entries of a ZAP object.</summary>
    public IEnumerable<OfflineZapEntry> ReadZap(OfflineObjset os, OfflineDnode dn) => new OfflineZap(os, dn, BlockBudget).Entries();

    /// <summary>The tree of DSL directories, $MOS and $ORIGIN included.</summary>
    public OfflineDir ReadDirTree()
    {
        ulong root = ObjectDirectory.TryGetValue("root_dataset", out ulong obj)
            ? obj
            : throw new ZfsException(Errno.EIO, $"pool '{Config.Name}': the object directory names no root dataset");
        return ReadDir(root, Config.Name, null, [], 0);
    }

    /// <summary>All datasets, heads and snapshots, internal ones left out.</summary>
    public IEnumerable<OfflineDataset> Datasets() => Datasets(ReadDirTree());

    /// <summary>The object set of a dataset.</summary>
    public OfflineObjset OpenObjset(OfflineDataset ds) => new(this, ds.Phys.Bp, ds.Name);

    /// <summary>The file system in a dataset.</summary>
    public OfflineZpl OpenFileSystem(OfflineDataset ds) => new(this, OpenObjset(ds));

    /// <summary>The file system of that name (pool/fs or pool/fs@snap). Throws ZfsException (ENOENT).</summary>
    public OfflineZpl OpenFileSystem(string name) => OpenFileSystem(Datasets().FirstOrDefault(d => d.Name == name)
        ?? throw new ZfsException(Errno.ENOENT, $"no dataset '{name}'"));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IVdevIo io in _devices)
        {
            io.Dispose();
        }
    }

    private static PoolConfig CheckDevice(IVdevIo io, VdevLabelScan scan, ulong txg, PoolConfig? first)
    {
        if (scan.ConfigAt(txg) is not { } config)
        {
            throw new ZfsException(Errno.EINVAL, $"{io.Path} has no ZFS label");
        }

        if (config.Unsupported() is { } reason)
        {
            throw new ZfsException(Errno.EOPNOTSUPP, $"{io.Path}: {reason}");
        }

        if (config.Tops.Count == 0)
        {
            throw new ZfsException(Errno.EIO, $"{io.Path}: the label of pool '{config.Name}' describes no vdev");
        }

        if (scan.SeenBigEndian && !scan.HasUberblock)
        {
            throw new ZfsException(Errno.EOPNOTSUPP, $"{io.Path}: pool '{config.Name}' was written by a big-endian machine, which is not supported");
        }

        if (first is not null && first.PoolGuid != config.PoolGuid)
        {
            throw new ZfsException(Errno.EINVAL, $"{io.Path} belongs to pool '{config.Name}', another device to '{first.Name}'");
        }

        return config;
    }

    private static Vdev?[] MakeVdevs(PoolConfig config, Dictionary<ulong, (VdevConfig Top, IVdevIo Io)> tops)
    {
        if (config.VdevChildren is 0 or > 1024)
        {
            throw new ZfsException(Errno.EIO, $"pool '{config.Name}' has {config.VdevChildren} vdevs");
        }

        var vdevs = new Vdev?[config.VdevChildren];
        foreach ((VdevConfig top, IVdevIo io) in tops.Values)
        {
            if (top.Id >= (ulong)vdevs.Length || top.Asize > Vdev.AsizeFor(io.Size))
            {
                throw new ZfsException(Errno.EIO, $"{io.Path}: vdev {top.Id} of {top.Asize} bytes on a device of {io.Size}");
            }

            vdevs[top.Id] = new Vdev
            {
                Id = (uint)top.Id,
                Guid = top.Guid,
                Ashift = (int)top.Ashift,
                Asize = top.Asize,
                MetaslabArray = top.MetaslabArray,
                MetaslabShift = (int)top.MetaslabShift,
                IsLog = top.IsLog,
                CreateTxg = top.CreateTxg,
                Path = io.Path,
                Io = io,
            };
        }

        return vdevs;
    }

    private static IEnumerable<OfflineDataset> Datasets(OfflineDir dir)
    {
        if (dir.Head is { IsInternal: false } head)
        {
            yield return head;
            foreach (OfflineDataset snap in dir.Snapshots)
            {
                yield return snap;
            }
        }

        foreach (OfflineDataset ds in dir.Children.SelectMany(Datasets))
        {
            yield return ds;
        }
    }

    private OfflineDir ReadDir(ulong obj, string name, OfflineDir? parent, HashSet<ulong> seen, int depth)
    {
        if (depth > MaxDirDepth || !seen.Add(obj))
        {
            throw new ZfsException(Errno.EIO, $"dataset directory {name} (object {obj}) lies in itself or too deep");
        }

        DslDirPhys phys = Mos.ReadDnode(obj).BonusAs<DslDirPhys>(DmuOt.DslDir);
        var dir = new OfflineDir { Name = name, Object = obj, Phys = phys, Parent = parent };
        if (phys.HeadDataset != 0)
        {
            dir.Head = ReadDataset(phys.HeadDataset, name, obj, false);
            if (dir.Head.Phys.SnapNamesZap != 0)
            {
                dir.Snapshots.AddRange(ReadZap(Mos, dir.Head.Phys.SnapNamesZap)
                    .Select(e => ReadDataset(e.First, $"{name}@{e.NameText}", obj, true))
                    .OrderBy(s => s.Phys.CreationTxg));
            }
        }

        if (phys.ChildDirZap != 0)
        {
            foreach (OfflineZapEntry e in ReadZap(Mos, phys.ChildDirZap).OrderBy(e => e.NameText, StringComparer.Ordinal))
            {
                dir.Children.Add(ReadDir(e.First, $"{name}/{e.NameText}", dir, seen, depth + 1));
            }
        }

        return dir;
    }

    private OfflineDataset ReadDataset(ulong obj, string name, ulong dir, bool snapshot) => new()
    {
        Name = name,
        Object = obj,
        DirObject = dir,
        IsSnapshot = snapshot,
        Phys = Mos.ReadDnode(obj).BonusAs<DslDatasetPhys>(DmuOt.DslDataset),
    };
}
