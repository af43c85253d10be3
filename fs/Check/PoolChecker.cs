namespace ZfsLite.Fs;

/// <summary>
/// Checks a whole pool offline, for <c>zfslite check</c>. Everything that the format says twice is held against itself:
/// every copy of every block against its checksum; the space maps against the blocks that can be reached (nothing leaked,
/// nothing used twice, nothing used that is free); every account (space of objects, datasets, directories, users; fill;
/// deadlists) against the walk; names, links and parents of files against each other. It changes nothing, and any image,
/// however damaged, ends in findings.
/// </summary>
public static class PoolChecker
{
    /// <summary>Checks a pool that nobody writes to meanwhile.</summary>
    public static CheckResult Run(PoolReader pool, CheckOptions? options = null)
    {
        var ctx = new CheckContext(pool, options ?? new CheckOptions());
        Walk(ctx);
        CheckLeaks(ctx);
        options?.Progress?.Invoke(1, "done");
        return ctx.Result;
    }

    /// <summary>What is allocated, and nothing leads to it. Null: something else is wrong with the pool, so that can't be told.</summary>
    internal static List<(uint Vdev, ulong Offset, ulong Length)>? Unreachable(PoolReader pool)
    {
        var ctx = new CheckContext(pool, new CheckOptions { ReadData = false });
        Walk(ctx);
        return ctx.IsPartial || ctx.Result.Errors > 0 ? null : [.. ctx.Allocated.Except(ctx.Referenced)];
    }

    private static void Walk(CheckContext ctx)
    {
        PoolReader pool = ctx.Pool;
        ctx.Progress("labels");
        CheckLabels(ctx);
        ctx.Progress("space maps");
        SpaceMapCheck.Load(ctx);
        BlockSums? mos = WalkMos(ctx);
        try
        {
            OfflineDir root = pool.ReadDirTree();
            var all = new Dictionary<ulong, OfflineDataset>();
            Collect(root, all);
            CheckDirs(ctx, root, all, all.Values.ToLookup(d => d.Phys.PrevSnapObject), mos);
        }
        catch (ZfsException e)
        {
            ctx.Error("MOS", 0, e.Message);
        }

        ctx.Progress("space");
        CheckDeferred(ctx);
    }

    private static void CheckLabels(CheckContext ctx)
    {
        for (int id = 0; id < ctx.Pool.Vdevs.Count; id++)
        {
            if (ctx.Pool.Vdevs[id] is not { } vdev)
            {
                if (ctx.Pool.IsMissing(id))
                {
                    ctx.Warn(ctx.Pool.Config.Name, 0, $"device {id} is missing: what lies on it is not checked");
                }

                continue;
            }

            VdevLabelScan scan = ctx.Pool.LabelsOf(vdev);
            for (int label = 0; label < VdevLabel.Count; label++)
            {
                if ((scan.ValidLabels >> label & 1) == 0)
                {
                    ctx.Error(vdev.Path, 0, $"label {label} is damaged");
                }
                else if (!vdev.IsLog && (scan.BestLabels >> label & 1) == 0)
                {
                    ctx.Warn(vdev.Path, 0, $"label {label} lacks the newest uberblock (txg {scan.Best.Txg})");
                }
            }
        }
    }

    private static BlockSums? WalkMos(CheckContext ctx)
    {
        ctx.Progress("MOS");
        var visited = new SpaceBitmap(ctx.Pool.Vdevs);
        var walk = new TreeWalker(ctx, "MOS", 0, 0, visited);
        walk.Walk(ctx.Pool.Uberblock.RootBp);
        CheckConfig(ctx);
        return walk.IsComplete ? walk.All : null;
    }

    private static void CheckConfig(CheckContext ctx)
    {
        if (!ctx.Pool.ObjectDirectory.TryGetValue("config", out ulong obj))
        {
            ctx.Error("MOS", 1, "the object directory names no configuration");
            return;
        }

        try
        {
            PoolConfig config = ctx.Pool.ReadMosConfig();
            ctx.Compare("MOS", obj, "pool guid in the configuration", config.PoolGuid, ctx.Pool.Config.PoolGuid);
            ctx.Compare("MOS", obj, "number of vdevs in the configuration", (ulong)config.Tops.Count, (ulong)ctx.Pool.Vdevs.Count);
            ctx.Compare("MOS", obj, "number of removed vdevs in the configuration", (ulong)config.Tops.Count(static t => t.IsHole), (ulong)ctx.Pool.Holes.Count);
            ctx.Compare("MOS", obj, "sum of guids in the configuration", config.GuidSum, ctx.Pool.Uberblock.GuidSum);
        }
        catch (ZfsException e)
        {
            ctx.Error("MOS", obj, $"configuration: {e.Message}");
        }
    }

    private static void Collect(OfflineDir dir, Dictionary<ulong, OfflineDataset> all)
    {
        foreach (OfflineDataset ds in dir.Head is { } head ? dir.Snapshots.Append(head) : dir.Snapshots)
        {
            all[ds.Object] = ds;
        }

        foreach (OfflineDir child in dir.Children)
        {
            Collect(child, all);
        }
    }

    private static void CheckDirs(CheckContext ctx, OfflineDir dir, Dictionary<ulong, OfflineDataset> all, ILookup<ulong, OfflineDataset> byPrevious, in BlockSums? mos)
    {
        try
        {
            var check = new DatasetCheck(ctx, dir, all, byPrevious);
            if (dir.Parent is { } parent)
            {
                ctx.Compare(dir.Name, dir.Object, "parent directory", dir.Phys.Parent, parent.Object);
            }

            if (dir.Head is not null)
            {
                check.Run();
            }
            else if (mos is { } sums && dir.Name.EndsWith("/$MOS", StringComparison.Ordinal))
            {
                check.RunMos(sums);
            }
        }
        catch (ZfsException e)
        {
            ctx.Error(dir.Name, dir.Object, e.Message);
        }

        foreach (OfflineDir child in dir.Children)
        {
            CheckDirs(ctx, child, all, byPrevious, mos);
        }
    }

    private static void CheckDeferred(CheckContext ctx)
    {
        if (ctx.Pool.ObjectDirectory.TryGetValue("sync_bplist", out ulong obj))
        {
            _ = BplistCheck.Read(ctx, "MOS", obj, "list of deferred frees", bp => ctx.Refer("MOS", obj, bp));
        }
    }

    private static void CheckLeaks(CheckContext ctx)
    {
        ulong leaked = 0;
        foreach ((uint vdev, ulong offset, ulong length) in ctx.Allocated.Except(ctx.Referenced))
        {
            leaked += length;
            if (ctx.IsPartial)
            {
                continue;
            }

            ctx.Error(ctx.Pool.Config.Name, 0, $"leaked: {length} bytes at {vdev}:{offset:x} are allocated and nothing refers to them");
        }

        if (leaked != 0)
        {
            ctx.Note(ctx.Pool.Config.Name, 0, ctx.IsPartial
                ? $"{leaked} allocated bytes were not reached, because of the damage"
                : $"{leaked} bytes leaked in all");
        }
    }
}
