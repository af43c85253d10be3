using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Makes a pool from nothing, in one txg: the smallest set of objects that every implementation opens.
///
/// The MOS has the object directory, the DSL directories of the root, $MOS and $ORIGIN with their name and property ZAPs,
/// $ORIGIN's dataset and snapshot, the root file system's dataset, the configuration, the metaslab arrays and a space map for
/// each region of space that is used. The file system has its master node, an empty delete queue, the root directory and the
/// shares directory. All blocks are stored uncompressed, so that their sizes are known before their contents: every block gets
/// its place first, then the accounts and space maps are filled in, then everything is written from the leaves up.
///
/// Order of writing: labels that belong to no pool yet (txg 0), all blocks, a flush, the labels proper and the uberblock. A
/// failure on the way leaves devices that no implementation takes for a pool.
/// </summary>
public static unsafe class PoolFormatter
{
    // The first txg of a pool (TXG_INITIAL).
    private const ulong Txg = 4;
    private const int ZapBlock = 512;
    private const int ConfigBlock = 16384;
    private const int BplistBlock = 131072;
    private const int SyncBplistBlock = 16384;
    private const int SpaceMapBlock = 4096;
    private const int MaxDevices = 64;

    // MOS objects, numbered as other implementations do it.
    private const ulong RootDir = 2, RootProps = 3, RootChildren = 4, MosDir = 5, MosProps = 6, MosChildren = 7;
    private const ulong OriginDir = 8, OriginProps = 9, OriginChildren = 10, OriginHead = 11, OriginSnapNames = 12;
    private const ulong OriginSnapDeadlist = 13, OriginSnap = 14, OriginDeadlist = 15;
    private const ulong RootDataset = 16, RootSnapNames = 17, RootDeadlist = 18, NextClones = 19, Config = 20, SyncBplist = 21, FirstArray = 22;

    // Objects of the file system.
    private const ulong MasterNode = 1, DeleteQueue = 2, RootDirectory = 3, SharesDirectory = 4;

    /// <summary>
    /// Formats devices as a new pool; whatever they held is lost. Throws ZfsException: EINVAL for options that make no sense,
    /// EOVERFLOW for a device below 64 MiB, EROFS, or the errno of a failed write, naming the device.
    /// </summary>
    /// <param name="devices">Top-level vdevs, opened for writing. They stay the caller's.</param>
    /// <param name="options">What the pool should be like.</param>
    /// <returns>The guid of the pool.</returns>
    public static ulong Format(IReadOnlyList<IVdevIo> devices, PoolCreateOptions options)
    {
        ArgumentNullException.ThrowIfNull(devices);
        ArgumentNullException.ThrowIfNull(options);
        Validate(devices, options);
        var guids = new GuidSource(options.GuidSeed);
        ulong poolGuid = guids.Next();
        Vdev[] vdevs = [.. devices.Select((io, i) => MakeVdev(io, i, devices.Count - options.LogDevices, options, guids.Next()))];
        VdevConfig[] tops = [.. vdevs.Select(static v => v.ToConfig())];
        var config = new PoolConfig
        {
            Name = options.Name,
            State = options.Exported ? PoolState.Exported : PoolState.Active,
            Txg = Txg,
            PoolGuid = poolGuid,
            VdevChildren = (ulong)tops.Length,
            Tops = tops,
        };
        if (config.ToMosConfig().Pack().Length is var bytes && bytes > ConfigBlock)
        {
            throw new ZfsException(Errno.EINVAL, $"{tops.Length} devices with paths that long need a configuration of {bytes} bytes, {ConfigBlock} is the most");
        }

        PoolConfig unborn = config.With(config.State, 0);
        for (int i = 0; i < vdevs.Length; i++)
        {
            Check(VdevLabel.Initialise(devices[i], unborn.ToLabel(tops[i])), vdevs[i].Path, "label");
        }

        (ulong seconds, Blkptr rootBp) = WriteTree(vdevs, config, options, guids);
        var uberblock = new Uberblock
        {
            Magic = Uberblock.MagicNumber,
            Version = PoolConfig.Version23,
            Txg = Txg,
            GuidSum = config.GuidSum,
            Timestamp = seconds,
            RootBp = rootBp,
        };
        Flush(vdevs);
        WriteLabels(vdevs, config, uberblock);
        return poolGuid;
    }

    internal static void Check(int errno, string path, string what)
    {
        if (errno != 0)
        {
            throw new ZfsException(errno, $"{path}: cannot {what}: error {errno}");
        }
    }

    private static void Validate(IReadOnlyList<IVdevIo> devices, PoolCreateOptions options)
    {
        CheckName(options.Name);
        if (devices.Count is < 1 or > MaxDevices)
        {
            throw new ZfsException(Errno.EINVAL, $"a pool has 1 to {MaxDevices} devices, not {devices.Count}");
        }

        if (options.LogDevices < 0 || options.LogDevices >= devices.Count)
        {
            throw new ZfsException(Errno.EINVAL, $"{options.LogDevices} of {devices.Count} devices for the log: there must be one for data");
        }

        if (options.Ashift is < 9 or > 13)
        {
            throw new ZfsException(Errno.EINVAL, $"ashift must be 9 to 13, not {options.Ashift}");
        }

        if (options.RecordSize is { } r && (r is < 512 or > 131072 || (r & (r - 1)) != 0))
        {
            throw new ZfsException(Errno.EINVAL, $"recordsize must be a power of two from 512 to 131072, not {r}");
        }

        if (options.Copies is < 1 or > 3)
        {
            throw new ZfsException(Errno.EINVAL, $"copies must be 1 to 3, not {options.Copies}");
        }

        if (options.DevicePaths is { } paths && paths.Count != devices.Count)
        {
            throw new ZfsException(Errno.EINVAL, $"{paths.Count} paths for {devices.Count} devices");
        }

        foreach (IVdevIo io in devices)
        {
            if (io.IsReadOnly)
            {
                throw new ZfsException(Errno.EROFS, $"{io.Path}: opened for reading only");
            }

            if (io.Size < Vdev.MinDeviceSize)
            {
                throw new ZfsException(Errno.EOVERFLOW, $"{io.Path}: {io.Size >> 20} MiB is too small for a pool, 64 MiB is the least");
            }
        }
    }

    // What zpool accepts: a letter first, no reserved word, nothing that names a dataset.
    private static void CheckName(string name)
    {
        bool valid = name.Length is > 0 and < 256 && char.IsAsciiLetter(name[0])
            && name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.' or ':' or ' ')
            && name is not ("mirror" or "raidz" or "spare" or "log")
            && !name.StartsWith("mirror", StringComparison.Ordinal) && !name.StartsWith("raidz", StringComparison.Ordinal)
            && !name.StartsWith("spare", StringComparison.Ordinal)
            && !(name.Length > 1 && name[0] == 'c' && char.IsAsciiDigit(name[1]));
        if (!valid)
        {
            throw new ZfsException(Errno.EINVAL, $"'{name}' is no name for a pool: begin with a letter, go on with letters, digits and _ - . :, no reserved word");
        }
    }

    private static Vdev MakeVdev(IVdevIo io, int index, int normal, PoolCreateOptions options, ulong guid)
    {
        ulong asize = Vdev.AsizeFor(io.Size);
        return new Vdev
        {
            Id = (uint)index,
            Guid = guid,
            Ashift = options.Ashift,
            Asize = asize & ~((1UL << options.Ashift) - 1),
            MetaslabArray = FirstArray + (ulong)index,
            MetaslabShift = Vdev.MetaslabShiftFor(asize),
            IsLog = index >= normal,
            CreateTxg = Txg,
            Path = options.DevicePaths?[index] ?? io.Path,
            Io = io,
        };
    }

    private static (ulong Seconds, Blkptr RootBp) WriteTree(Vdev[] vdevs, PoolConfig config, PoolCreateOptions options, GuidSource guids)
    {
        (long seconds, long nanoseconds) = Kclock.WallTime();
        var space = new PoolFormatterSpace([.. vdevs.Where(static v => !v.IsLog)]);
        var fs = new PoolFormatterObjset(space, ObjsetPhys.TypeZfs, copies: 2, levels: 7);
        AddFileSystem(fs, options, guids, seconds, nanoseconds);
        fs.PlaceMeta();
        Blkptr fsBp = fs.Write(vdevs, Txg);

        var mos = new PoolFormatterObjset(space, ObjsetPhys.TypeMeta, copies: 3, levels: 1);
        AddMosObjects(mos, config, options, guids);
        AddSpaceMaps(mos, vdevs, space);
        mos.PlaceMeta();
        FillSpaceMaps(mos, vdevs.Length, space);
        FillAccounts(mos, fs, fsBp, (ulong)seconds, guids);
        return ((ulong)seconds, mos.Write(vdevs, Txg));
    }

    private static void AddFileSystem(PoolFormatterObjset fs, PoolCreateOptions options, GuidSource guids, long seconds, long nanoseconds)
    {
        fs.Add(MasterNode, DmuOt.MasterNode, ZapBlock, PoolFormatterZap.Build(guids.Salt(), 0,
            ("normalization", 0UL), ("utf8only", 0UL), ("casesensitivity", 0UL), ("VERSION", 4UL), ("DELETE_QUEUE", DeleteQueue),
            ("ROOT", RootDirectory), ("SHARES", SharesDirectory)));
        fs.Add(DeleteQueue, DmuOt.UnlinkedSet, ZapBlock, PoolFormatterZap.Build(guids.Salt(), 0));
        foreach (ulong dir in (ReadOnlySpan<ulong>)[RootDirectory, SharesDirectory])
        {
            fs.Add(dir, DmuOt.DirectoryContents, ZapBlock, PoolFormatterZap.Build(guids.Salt(), 0), DmuOt.Znode,
                Bytes(MakeDirectory(dir, seconds, nanoseconds, options)));
        }
    }

    // An empty directory, 0755, its own parent.
    private static ZnodePhys MakeDirectory(ulong number, long seconds, long nanoseconds, PoolCreateOptions options)
    {
        var z = new ZnodePhys
        {
            AtimeSeconds = seconds,
            AtimeNanoseconds = nanoseconds,
            MtimeSeconds = seconds,
            MtimeNanoseconds = nanoseconds,
            CtimeSeconds = seconds,
            CtimeNanoseconds = nanoseconds,
            CrtimeSeconds = seconds,
            CrtimeNanoseconds = nanoseconds,
            Generation = Txg,
            Mode = 0x41ed,
            Size = 2,
            Parent = number,
            Links = 2,
            Uid = options.OwnerUid,
            Gid = options.OwnerGid,
            Flags = ZnodePhys.FlagArchive | (0x400UL << 32) | ZnodePhys.FlagNoExecsDenied | ZnodePhys.FlagAclAuto | ZnodePhys.FlagAclTrivial,
            AclSize = 48,
            AclVersion = 1,
            AclCount = 6,
        };

        // owner@, group@, everyone@: what is denied, what is granted, as the mode says.
        ReadOnlySpan<(ushort Type, ushort Who, uint Mask)> aces =
        [
            (1, 0x1000, 0), (0, 0x1000, 0x27 | 0xC0110), (1, 0x2040, 0x6), (0, 0x2040, 0x21), (1, 0x4000, 0x6 | 0xC0110), (0, 0x4000, 0x21 | 0x120088),
        ];
        var acl = new Span<byte>(z.AclData, 72);
        for (int i = 0; i < aces.Length; i++)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(acl[(i * 8)..], aces[i].Type);
            BinaryPrimitives.WriteUInt16LittleEndian(acl[((i * 8) + 2)..], aces[i].Who);
            BinaryPrimitives.WriteUInt32LittleEndian(acl[((i * 8) + 4)..], aces[i].Mask);
        }

        return z;
    }

    private static void AddMosObjects(PoolFormatterObjset mos, PoolConfig config, PoolCreateOptions options, GuidSource guids)
    {
        mos.Add(1, DmuOt.ObjectDirectory, ZapBlock, PoolFormatterZap.Build(guids.Salt(), 0,
            ("root_dataset", RootDir), ("config", Config), ("deflate", 1UL), ("sync_bplist", SyncBplist)));
        foreach ((ulong dir, ulong props, ulong children) in (ReadOnlySpan<(ulong, ulong, ulong)>)
            [(RootDir, RootProps, RootChildren), (MosDir, MosProps, MosChildren), (OriginDir, OriginProps, OriginChildren)])
        {
            bool root = dir == RootDir;
            mos.Add(dir, DmuOt.DslDir, 512, null, DmuOt.DslDir, new byte[DslDirPhys.SizeOf]);
            mos.Add(props, DmuOt.DslProps, ZapBlock, PoolFormatterZap.Build(guids.Salt(), 0, root ? Properties(options) : []));
            mos.Add(children, DmuOt.DslDirChildMap, ZapBlock,
                PoolFormatterZap.Build(guids.Salt(), 0, root ? [("$MOS", MosDir), ("$ORIGIN", OriginDir)] : []));
        }

        foreach (ulong dataset in (ReadOnlySpan<ulong>)[OriginHead, OriginSnap, RootDataset])
        {
            mos.Add(dataset, DmuOt.DslDataset, 512, null, DmuOt.DslDataset, new byte[DslDatasetPhys.SizeOf]);
        }

        mos.Add(OriginSnapNames, DmuOt.DslDsSnapMap, ZapBlock, PoolFormatterZap.Build(guids.Salt(), ZapPhys.NormToUpper, ("$ORIGIN", OriginSnap)));
        mos.Add(RootSnapNames, DmuOt.DslDsSnapMap, ZapBlock, PoolFormatterZap.Build(guids.Salt(), ZapPhys.NormToUpper));
        foreach (ulong deadlist in (ReadOnlySpan<ulong>)[OriginSnapDeadlist, OriginDeadlist, RootDeadlist])
        {
            mos.Add(deadlist, DmuOt.Bplist, BplistBlock, null, DmuOt.BplistHdr, new byte[BplistPhys.SizeOf]);
        }

        mos.Add(NextClones, DmuOt.NextClones, ZapBlock,
            PoolFormatterZap.Build(guids.Salt(), 0, (RootDataset.ToString("x"), RootDataset)));
        byte[] packed = config.ToMosConfig().Pack();
        mos.Add(Config, DmuOt.PackedNvlist, ConfigBlock, packed, DmuOt.PackedNvlistSize, Bytes((ulong)packed.Length));
        mos.Add(SyncBplist, DmuOt.Bplist, SyncBplistBlock, null, DmuOt.BplistHdr, new byte[BplistPhys.SizeOf], ZioCompressType.Off);
    }

    private static (string Name, ulong Value)[] Properties(PoolCreateOptions options)
    {
        var list = new List<(string, ulong)>();
        void Add(string name, ulong? value)
        {
            if (value is { } v)
            {
                list.Add((name, v));
            }
        }

        Add("compression", (ulong?)options.Compression);
        Add("checksum", (ulong?)options.Checksum);
        Add("recordsize", (ulong?)options.RecordSize);
        Add("atime", options.Atime is { } atime ? (atime ? 1UL : 0) : null);
        Add("copies", (ulong?)options.Copies);
        Add("sync", (ulong?)options.Sync);
        Add("logbias", (ulong?)options.LogBias);
        return [.. list];
    }

    private static ulong SpaceMapObject(int devices, int region) => FirstArray + (ulong)(devices + region);

    private static void AddSpaceMaps(PoolFormatterObjset mos, Vdev[] vdevs, PoolFormatterSpace space)
    {
        foreach (Vdev v in vdevs)
        {
            int[] regions = [.. Enumerable.Range(0, PoolFormatterSpace.Regions).Where(r => space.VdevOf(r) == v)];
            byte[]? array = null;
            foreach (int region in regions)
            {
                array ??= new byte[(((space.MetaslabOf(regions[^1]) + 1) * sizeof(ulong)) + 511) & ~511];
                BinaryPrimitives.WriteUInt64LittleEndian(array.AsSpan(space.MetaslabOf(region) * sizeof(ulong)), SpaceMapObject(vdevs.Length, region));
            }

            mos.Add(v.MetaslabArray, DmuOt.ObjectArray, array?.Length ?? 512, array);
        }

        for (int region = 0; region < PoolFormatterSpace.Regions; region++)
        {
            mos.Add(SpaceMapObject(vdevs.Length, region), DmuOt.SpaceMap, SpaceMapBlock, new byte[SpaceMapBlock], DmuOt.SpaceMapHeader,
                new byte[SpaceMapPhys.SizeOf]);
        }
    }

    // Everything has its place: each region is one run from its beginning.
    private static void FillSpaceMaps(PoolFormatterObjset mos, int devices, PoolFormatterSpace space)
    {
        for (int region = 0; region < PoolFormatterSpace.Regions; region++)
        {
            ulong number = SpaceMapObject(devices, region);
            int run = (int)(space.UsedBytes(region) >> space.VdevOf(region).Ashift);
            BinaryPrimitives.WriteUInt64LittleEndian(mos.DataOf(number), SpaceMapPhys.Entry(isAlloc: true, 0, run));
            var header = new SpaceMapPhys { Object = number, ObjSize = sizeof(ulong), Alloc = space.UsedBytes(region) };
            MemoryMarshal.Write(mos.BonusOf(number), header);
        }
    }

    private static void FillAccounts(PoolFormatterObjset mos, PoolFormatterObjset fs, in Blkptr fsBp, ulong seconds, GuidSource guids)
    {
        Put(mos, RootDir, MakeDir(seconds, RootDataset, 0, OriginSnap, RootChildren, RootProps, fs.Asize, mos.Asize, fs.Psize + mos.Psize));
        Put(mos, MosDir, MakeDir(seconds, 0, RootDir, 0, MosChildren, MosProps, mos.Asize, 0, mos.Psize));
        Put(mos, OriginDir, MakeDir(seconds, OriginHead, RootDir, 0, OriginChildren, OriginProps, 0, 0, 0));
        Put(mos, OriginHead, new DslDatasetPhys
        {
            DirObject = OriginDir,
            PrevSnapObject = OriginSnap,
            PrevSnapTxg = 1,
            SnapNamesZap = OriginSnapNames,
            CreationTime = seconds,
            CreationTxg = 1,
            DeadlistObject = OriginDeadlist,
            FsidGuid = guids.Fsid(),
            Guid = guids.Next(),
            Flags = DslDatasetPhys.FlagUniqueAccurate,
        });
        Put(mos, OriginSnap, new DslDatasetPhys
        {
            DirObject = OriginDir,
            NextSnapObject = OriginHead,
            ChildCount = 2,
            CreationTime = seconds,
            CreationTxg = 1,
            DeadlistObject = OriginSnapDeadlist,
            FsidGuid = guids.Fsid(),
            Guid = guids.Next(),
            Flags = DslDatasetPhys.FlagUniqueAccurate,
            NextClonesObject = NextClones,
        });
        Put(mos, RootDataset, new DslDatasetPhys
        {
            DirObject = RootDir,
            PrevSnapObject = OriginSnap,
            PrevSnapTxg = 1,
            SnapNamesZap = RootSnapNames,
            CreationTime = seconds,
            CreationTxg = Txg,
            DeadlistObject = RootDeadlist,
            UsedBytes = fs.Asize,
            CompressedBytes = fs.Psize,
            UncompressedBytes = fs.Psize,
            UniqueBytes = fs.Asize,
            FsidGuid = guids.Fsid(),
            Guid = guids.Next(),
            Flags = DslDatasetPhys.FlagUniqueAccurate,
            Bp = fsBp,
        });
    }

    private static DslDirPhys MakeDir(ulong seconds, ulong head, ulong parent, ulong origin, ulong children, ulong props,
        ulong own, ulong below, ulong stored)
    {
        var dir = new DslDirPhys
        {
            CreationTime = seconds,
            HeadDataset = head,
            Parent = parent,
            Origin = origin,
            ChildDirZap = children,
            UsedBytes = own + below,
            CompressedBytes = stored,
            UncompressedBytes = stored,
            PropsZap = props,
            Flags = DslDirPhys.FlagUsedBreakdown,
        };
        dir.UsedBreakdown[DslDirPhys.UsedHead] = own;
        dir.UsedBreakdown[DslDirPhys.UsedChild] = below;
        return dir;
    }

    private static void WriteLabels(Vdev[] vdevs, PoolConfig config, in Uberblock uberblock)
    {
        for (int first = 0; first < 2; first++)
        {
            for (int i = 0; i < vdevs.Length; i++)
            {
                Check(VdevLabel.WriteConfig(vdevs[i].Io, first, config.ToLabel(config.Tops[i])), vdevs[i].Path, "write the label");
            }

            Flush(vdevs);
            for (int i = 0; i < vdevs.Length && first == 0; i++)
            {
                Check(VdevLabel.WriteUberblock(vdevs[i].Io, vdevs[i].Ashift, uberblock), vdevs[i].Path, "write the uberblock");
            }
        }

        Flush(vdevs);
    }

    private static void Flush(Vdev[] vdevs)
    {
        foreach (Vdev v in vdevs)
        {
            Check(v.Io.Flush(), v.Path, "flush");
        }
    }

    private static void Put<T>(PoolFormatterObjset mos, ulong number, in T bonus)
        where T : unmanaged => MemoryMarshal.Write(mos.BonusOf(number), bonus);

    private static byte[] Bytes<T>(in T value)
        where T : unmanaged
    {
        byte[] bytes = new byte[sizeof(T)];
        MemoryMarshal.Write(bytes, value);
        return bytes;
    }

    // Guids and salts: random, or a sequence that follows from a seed (splitmix64).
    private sealed class GuidSource(ulong seed)
    {
        private readonly bool _random = seed == 0;
        private ulong _state = seed;

        internal ulong Next()
        {
            while (true)
            {
                ulong z = _random ? Krandom.NextUInt64() : _state += 0x9E3779B97F4A7C15UL;
                if (!_random)
                {
                    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
                    z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
                    z ^= z >> 31;
                }

                if (z != 0)
                {
                    return z;
                }
            }
        }

        internal ulong Salt() => Next() | 1;

        internal ulong Fsid() => (Next() >> 8) | 1;
    }
}
