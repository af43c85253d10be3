using System.Globalization;

namespace ZfsLite.Fs;

/// <summary>
/// Checks one DSL directory: its snapshots from the oldest to the head, each walked once in full, each compared with the one
/// before it, and the accounts of all of them.
/// </summary>
internal sealed class DatasetCheck
{
    private readonly CheckContext _ctx;
    private readonly OfflineDir _dir;
    private readonly Dictionary<ulong, OfflineDataset> _all;
    private readonly ILookup<ulong, OfflineDataset> _byPrevious;
    private BlockSums _total;

    internal DatasetCheck(CheckContext ctx, OfflineDir dir, Dictionary<ulong, OfflineDataset> all, ILookup<ulong, OfflineDataset> byPrevious)
    {
        _byPrevious = byPrevious;
        _ctx = ctx;
        _dir = dir;
        _all = all;
    }

    /// <summary>Checks the directory, its datasets and its accounts.</summary>
    internal void Run()
    {
        bool complete = true;
        var head = default(BlockSums);
        ulong origin = _all.TryGetValue(_dir.Phys.Origin, out OfflineDataset? o) ? o.Phys.CreationTxg : 0;
        if (_dir.Phys.Origin != 0 && o is null)
        {
            _ctx.Error(_dir.Name, _dir.Object, $"origin {_dir.Phys.Origin} is no snapshot of this pool");
        }

        List<OfflineDataset> chain = [.. _dir.Snapshots];
        if (_dir.Head is { } h)
        {
            chain.Add(h);
        }

        for (int i = 0; i < chain.Count; i++)
        {
            _ctx.Result.Datasets++;
            CheckLinks(chain[i], i > 0 ? chain[i - 1] : o, i + 1 < chain.Count ? chain[i + 1] : null);
            complete &= CheckOne(chain[i], origin, out head);
        }

        CheckLimits();
        if (complete)
        {
            CheckDirAccounts(head.Bytes);
        }
    }

    /// <summary>Accounts of a directory that has no datasets of its own, such as $MOS.</summary>
    internal void RunMos(in BlockSums mos)
    {
        _total = mos;
        CheckDirAccounts(mos.Bytes);
    }

    private unsafe void CheckDirAccounts(ulong headBytes)
    {
        DslDirPhys p = _dir.Phys;
        ulong child = 0, childReserved = 0;
        BlockSums all = _total;
        foreach (OfflineDir c in _dir.Children)
        {
            child += c.Phys.UsedBytes;
            childReserved += c.Phys.Reserved > c.Phys.UsedBytes ? c.Phys.Reserved - c.Phys.UsedBytes : 0;
            all.Compressed += c.Phys.CompressedBytes;
            all.Uncompressed += c.Phys.UncompressedBytes;
        }

        if ((p.Flags & DslDirPhys.FlagUsedBreakdown) != 0)
        {
            _ctx.Compare(_dir.Name, _dir.Object, "used by the dataset (HEAD)", p.UsedBreakdown[DslDirPhys.UsedHead], headBytes);
            _ctx.Compare(_dir.Name, _dir.Object, "used by snapshots (SNAP)", p.UsedBreakdown[DslDirPhys.UsedSnap], _total.Bytes - headBytes);
            _ctx.Compare(_dir.Name, _dir.Object, "used by children (CHILD)", p.UsedBreakdown[DslDirPhys.UsedChild], child);
            _ctx.Compare(_dir.Name, _dir.Object, "reserved by children (CHILD_RSRV)", p.UsedBreakdown[DslDirPhys.UsedChildReserved], childReserved);
            ulong refReserved = OwnNumber("refreservation");
            ulong unused = _dir.Head is { } h && refReserved > h.Phys.UniqueBytes ? refReserved - h.Phys.UniqueBytes : 0;
            _ctx.Compare(_dir.Name, _dir.Object, "refreservation not used (REFRSRV)", p.UsedBreakdown[DslDirPhys.UsedRefReserved], unused);
            ulong sum = 0;
            for (int i = 0; i < 5; i++)
            {
                sum += p.UsedBreakdown[i];
            }

            _ctx.Compare(_dir.Name, _dir.Object, "bytes used (sum of its parts)", p.UsedBytes, sum);
        }

        _ctx.Compare(_dir.Name, _dir.Object, "compressed bytes", p.CompressedBytes, all.Compressed);
        _ctx.Compare(_dir.Name, _dir.Object, "uncompressed bytes", p.UncompressedBytes, all.Uncompressed);
    }

    /// <summary>The dataset's quota and reservation stand in the directory and among the properties: both must say the same.</summary>
    private void CheckLimits()
    {
        foreach ((string name, ulong inDirectory) in ((string, ulong)[])[("quota", _dir.Phys.Quota), ("reservation", _dir.Phys.Reserved)])
        {
            if (OwnNumber(name) is var property && property != inDirectory)
            {
                _ctx.Warn(_dir.Name, _dir.Object, $"{name} is {inDirectory} bytes in the directory and {property} among the properties");
            }
        }
    }

    /// <summary>A number that the directory has itself: set here, or received and not set back. 0: none.</summary>
    private ulong OwnNumber(string name)
    {
        if (_dir.Phys.PropsZap == 0)
        {
            return 0;
        }

        ulong received = 0;
        foreach (OfflineZapEntry e in _ctx.Pool.ReadZap(_ctx.Pool.Mos, _dir.Phys.PropsZap))
        {
            if (e.Width == sizeof(ulong) && e.NameText == name)
            {
                return e.First;
            }

            received = e.NameText == name + "$recvd" && received == 0 ? e.First : received;
            if (e.NameText == name + "$inherit")
            {
                return 0;
            }
        }

        return received;
    }

    private void CheckLinks(OfflineDataset ds, OfflineDataset? prev, OfflineDataset? next)
    {
        DslDatasetPhys p = ds.Phys;
        _ctx.Compare(ds.Name, ds.Object, "directory", p.DirObject, _dir.Object);
        _ctx.Compare(ds.Name, ds.Object, "next snapshot", p.NextSnapObject, next?.Object ?? 0);
        if (prev is not null || p.PrevSnapObject != 0)
        {
            _ctx.Compare(ds.Name, ds.Object, "previous snapshot", p.PrevSnapObject, prev?.Object ?? 0);
            _ctx.Compare(ds.Name, ds.Object, "txg of the previous snapshot", p.PrevSnapTxg, prev?.Phys.CreationTxg ?? 0);
        }

        if (ds.IsSnapshot)
        {
            ulong clones = (ulong)_byPrevious[ds.Object].Count(d => d.Object != p.NextSnapObject);
            _ctx.Compare(ds.Name, ds.Object, "number of children", p.ChildCount, 1 + clones);
            CheckNextClones(ds);
        }
    }

    private void CheckNextClones(OfflineDataset ds)
    {
        var expected = _byPrevious[ds.Object].Where(d => d.Object != ds.Phys.NextSnapObject)
            .Select(d => d.Object).ToHashSet();
        if (ds.Phys.NextClonesObject == 0)
        {
            if (expected.Count > 0)
            {
                _ctx.Error(ds.Name, ds.Object, $"has {expected.Count} clones and no list of them");
            }

            return;
        }

        foreach (OfflineZapEntry e in _ctx.Pool.ReadZap(_ctx.Pool.Mos, ds.Phys.NextClonesObject))
        {
            if (!expected.Remove(e.First) || e.NameText != e.First.ToString("x", CultureInfo.InvariantCulture))
            {
                _ctx.Error(ds.Name, ds.Phys.NextClonesObject, $"list of clones has '{e.NameText}' = {e.First}, which is none");
            }
        }

        foreach (ulong missing in expected)
        {
            _ctx.Error(ds.Name, ds.Phys.NextClonesObject, $"list of clones lacks {missing}");
        }
    }

    /// <summary>Walks a dataset and checks its accounts. False if the walk was not complete.</summary>
    private bool CheckOne(OfflineDataset ds, ulong originTxg, out BlockSums sinceOrigin)
    {
        _ctx.Progress(ds.Name);
        DslDatasetPhys p = ds.Phys;
        var visited = new SpaceBitmap(_ctx.Pool.Vdevs);
        var zpl = new ZplCheck(_ctx, ds);
        var walk = new TreeWalker(_ctx, ds.Name, p.PrevSnapTxg, originTxg, visited) { OnDnode = zpl.AddDnode };
        walk.Walk(p.Bp);
        sinceOrigin = walk.SinceOrigin;
        _total.Add(walk.Born);
        if (walk.Phys is { } head)
        {
            if (!ds.IsSnapshot)
            {
                new ZilWalker(_ctx, ds.Name).Walk(head.ZilHeader);
            }

            if (head.Type == ObjsetPhys.TypeZfs)
            {
                zpl.Run();
            }
        }

        if (!walk.IsComplete)
        {
            return false;
        }

        _ctx.Compare(ds.Name, ds.Object, "bytes used", p.UsedBytes, walk.All.Bytes);
        _ctx.Compare(ds.Name, ds.Object, "compressed bytes", p.CompressedBytes, walk.All.Compressed);
        _ctx.Compare(ds.Name, ds.Object, "uncompressed bytes", p.UncompressedBytes, walk.All.Uncompressed);
        if (!ds.IsSnapshot)
        {
            _ctx.Compare(ds.Name, ds.Object, "unique bytes", p.UniqueBytes, walk.Born.Bytes);
        }

        CheckDeadlist(ds, visited);
        return true;
    }

    private void CheckDeadlist(OfflineDataset ds, SpaceBitmap visited)
    {
        BlockSums? listed = BplistCheck.Read(_ctx, ds.Name, ds.Phys.DeadlistObject, "deadlist");
        OfflineDataset? prev = _all.GetValueOrDefault(ds.Phys.PrevSnapObject);
        var dead = new DeadWalker(_ctx.Pool, visited, prev?.Phys.PrevSnapTxg ?? 0);
        try
        {
            if (prev is not null)
            {
                dead.Walk(prev.Phys.Bp);
            }
        }
        catch (ZfsException e)
        {
            _ctx.Error(ds.Name, ds.Object, $"comparing with the previous snapshot: {e.Message}");
            return;
        }

        if (listed is { } l && (l.Count != dead.Dead.Count || l.Hash != dead.Dead.Hash))
        {
            _ctx.Error(ds.Name, ds.Phys.DeadlistObject, $"deadlist has {l.Count} blocks ({l.Bytes} bytes), the previous snapshot has {dead.Dead.Count} ({dead.Dead.Bytes} bytes) that this has not");
        }

        if (prev is not null && prev.Phys.NextSnapObject == ds.Object)
        {
            _ctx.Compare(prev.Name, prev.Object, "unique bytes", prev.Phys.UniqueBytes, dead.UniqueBytes);
        }
    }
}
