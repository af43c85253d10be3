namespace ZfsLite.Fs;

/// <summary>
/// What the labels of a pool's devices say together: the uberblock to open it at, and the vdevs that it had then. A crash in the middle
/// of a change of vdevs leaves labels that are older or newer than the uberblock; each device is taken at its word as of the uberblock.
/// </summary>
internal static class PoolLabels
{
    private const ulong VdevsMax = 1024;

    /// <summary>Far beyond any real one, and far from where numbers end.</summary>
    private const ulong TxgMax = 1UL << 62;

    /// <summary>Reads the labels. Throws ZfsException with a one-line message.</summary>
    /// <param name="devices">Leaves, in any order.</param>
    /// <param name="suspension">Where the pool waits when a device fails it.</param>
    /// <param name="withoutLog">Log devices may be missing.</param>
    internal static (PoolConfig Config, List<Vdev> Vdevs, Uberblock Ub) Read(IReadOnlyList<IVdevIo> devices, PoolSuspension suspension, bool withoutLog)
    {
        List<(IVdevIo Io, VdevLabelScan Scan)> scans = [.. devices.Select(static io => (io, ScanOne(io)))];
        if (scans.Count == 0)
        {
            throw new ZfsException(Errno.EINVAL, "no device given");
        }

        PoolConfig first = scans[0].Scan.Config!;
        (IVdevIo? other, VdevLabelScan? stranger) = scans.Find(s => s.Scan.Config!.PoolGuid != first.PoolGuid);
        if (stranger is not null)
        {
            throw new ZfsException(Errno.EINVAL, $"{other!.Path} belongs to pool '{stranger.Config!.Name}', not to '{first.Name}'");
        }

        Uberblock ub = NewestUberblock(scans) ?? throw new ZfsException(Errno.EIO, $"pool '{first.Name}': no valid uberblock");
        var configs = scans.ConvertAll(s => (Config: s.Scan.ConfigAt(ub.Txg)!, s.Io));
        PoolConfig best = configs.MaxBy(static c => c.Config.Txg).Config;
        if (best.State == PoolState.Destroyed)
        {
            throw new ZfsException(Errno.ENODEV, $"pool '{best.Name}' was destroyed");
        }

        if (best.VdevChildren is 0 or > VdevsMax || ub.Txg > TxgMax)
        {
            throw new ZfsException(Errno.EIO, $"pool '{best.Name}': its labels and uberblock tell of {best.VdevChildren} vdevs and of txg {ub.Txg}, which can't be");
        }

        var tops = new SortedDictionary<ulong, (VdevConfig Config, IVdevIo Io)>();
        foreach ((PoolConfig config, IVdevIo io) in configs)
        {
            Add(tops, best, config, io);
        }

        AddMissing(tops, best, devices, withoutLog);
        PoolConfig whole = best.With(best.State, best.Txg, [.. tops.Values.Select(static t => t.Config).Concat(best.Holes.Select(VdevConfig.Hole)).OrderBy(static t => t.Id)]);
        if (whole.GuidSum != ub.GuidSum)
        {
            throw new ZfsException(Errno.ENXIO, $"pool '{best.Name}': the devices are not those of its last state (guid sum)");
        }

        if (tops.Values.All(static t => t.Config.IsLog))
        {
            throw new ZfsException(Errno.EIO, $"pool '{best.Name}' has log devices alone");
        }

        return (whole, [.. tops.Values.Select(t => ToVdev(t.Config, t.Io, suspension))], ub);
    }

    /// <summary>What is wrong with a device that is no part of the pool any more, or not yet; null if nothing.</summary>
    internal static string? Stranger(PoolConfig pool, PoolConfig config, IVdevIo io) =>
        config.Txg == 0 ? $"{io.Path} was prepared for pool '{config.Name}' but never joined it: leave it out"
        : config.Tops[0].Id >= pool.VdevChildren || pool.Holes.Contains(config.Tops[0].Id) ? $"{io.Path} was removed from pool '{config.Name}': leave it out"
        : null;

    private static VdevLabelScan ScanOne(IVdevIo io)
    {
        VdevLabelScan scan = VdevLabel.Scan(io);
        if (scan.Config is null || scan.Configs.Any(static c => c is { Tops.Count: 0 }))
        {
            throw new ZfsException(Errno.EINVAL, scan.SeenBigEndian
                ? $"{io.Path}: a pool written on a big-endian machine is not supported"
                : $"{io.Path}: not a ZFS pool (no valid label)");
        }

        return scan.Config.Unsupported() is { } why ? throw new ZfsException(Errno.EOPNOTSUPP, why) : scan;
    }

    private static Uberblock? NewestUberblock(List<(IVdevIo Io, VdevLabelScan Scan)> scans)
    {
        Uberblock? newest = null;
        foreach ((_, VdevLabelScan scan) in scans)
        {
            newest = scan.HasUberblock && (newest is not { } ub || scan.Best.IsNewerThan(ub)) ? scan.Best : newest;
        }

        return newest;
    }

    private static void Add(SortedDictionary<ulong, (VdevConfig Config, IVdevIo Io)> tops, PoolConfig best, PoolConfig config, IVdevIo io)
    {
        if (Stranger(best, config, io) is { } why)
        {
            throw new ZfsException(Errno.EINVAL, why);
        }

        if (config.Unsupported() is { } unsupported)
        {
            throw new ZfsException(Errno.EOPNOTSUPP, unsupported);
        }

        VdevConfig top = config.Tops[0];
        if (!tops.TryAdd(top.Id, (top, io)))
        {
            throw new ZfsException(Errno.EINVAL, $"{io.Path}: vdev {top.Id} of pool '{config.Name}' is given twice");
        }
    }

    private static void AddMissing(SortedDictionary<ulong, (VdevConfig Config, IVdevIo Io)> tops, PoolConfig best, IReadOnlyList<IVdevIo> devices, bool withoutLog)
    {
        if ((ulong)(tops.Count + best.Holes.Count) >= best.VdevChildren)
        {
            return;
        }

        PoolReader pool = PoolReader.Open(devices);
        if (!withoutLog || !MissingVdevs.AreLogs(pool, out IReadOnlyList<VdevConfig> missing))
        {
            throw MissingVdevs.Error(pool);
        }

        foreach (VdevConfig top in missing)
        {
            long size = (long)Math.Min(top.Asize + Vdev.DataStart + Vdev.EndReserve + VdevLabel.LabelSize, long.MaxValue);
            tops.Add(top.Id, (top, new MissingVdevIo(size, top.Path ?? $"vdev {top.Id}")));
        }
    }

    private static Vdev ToVdev(VdevConfig c, IVdevIo io, PoolSuspension suspension)
    {
        ulong room = Vdev.AsizeFor(io.Size);
        if (io.Size < Vdev.MinDeviceSize || c.Asize > room)
        {
            throw new ZfsException(Errno.EOVERFLOW, $"{io.Path} is too short: {io.Size} bytes, the pool needs {c.Asize + Vdev.DataStart + Vdev.EndReserve}");
        }

        return new Vdev
        {
            Id = (uint)c.Id,
            Guid = c.Guid,
            Ashift = (int)c.Ashift,
            Asize = c.Asize,
            MetaslabArray = c.MetaslabArray,
            MetaslabShift = (int)c.MetaslabShift,
            IsLog = c.IsLog,
            CreateTxg = c.CreateTxg,
            Path = c.Path ?? io.Path,
            Io = io,
            Guard = new PoolVdevIo(io, suspension, mayFail: c.IsLog),
        };
    }
}
