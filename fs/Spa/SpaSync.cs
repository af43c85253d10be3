using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Writing a txg.</summary>
public sealed partial class Spa
{
    private const int PassesMax = 1024;
    private const int CompressPasses = 8;

    /// <summary>MOS passes that the last written txg took.</summary>
    public int LastPasses { get; private set; }

    /// <inheritdoc/>
    public void SyncTxg(ulong txg)
    {
        if (HasFailed || !HasWork(txg))
        {
            return;
        }

        try
        {
            WriteTxg(txg);
        }
        catch (ZfsException e)
        {
            HasFailed = true;
            _failReason ??= e.Message;

            // Nothing may be on its way to a device any more when the txg counts as over.
            _ = Pipeline.WaitAll();
        }
    }

    private bool HasWork(ulong txg)
    {
        _mutex.Enter();
        bool work = _dirtyObjsets[TxgSlots<int>.Index(txg)].Count > 0 || _tasks.Count > 0 || _configDirty;
        _mutex.Exit();
        return work || Allocator.DeferredBytes > 0;
    }

    private void WriteTxg(ulong txg)
    {
        DmuTx tx = DmuTx.CreateSyncing(Txg, txg);
        Allocator.BeginTxg(txg, RootDir.Inflight);
        FreeDeferredBplist(tx);
        SyncObjsets(tx);
        RunTasks(tx);
        bool config = _configDirty;
        if (config)
        {
            WriteMosConfig(tx);
        }

        SyncMos(tx);
        WriteLabels(txg, config);
        Allocator.SyncDone(txg);
        foreach (Objset os in _writtenObjsets)
        {
            os.Log?.Clean(txg);
        }

        _writtenObjsets.Clear();
    }

    private void SyncObjsets(DmuTx tx)
    {
        List<Objset> dirty = _dirtyObjsets[TxgSlots<int>.Index(tx.Txg)];
        for (int i = 0; i < dirty.Count; i++)
        {
            Objset os = dirty[i];
            os.SyncLog(tx);
            Blkptr root = os.Dataset!.Phys.Bp;
            _sync.Sync(os, tx, ref root, compressMetadata: true);
            os.Dataset.SetRoot(root);
            os.Dataset.Flush(tx);
        }

        foreach (DslDataset ds in _dirtyDatasets)
        {
            ds.Flush(tx);
        }

        _dirtyDatasets.Clear();

        _mutex.Enter();
        _writtenObjsets.AddRange(dirty);
        dirty.Clear();
        _mutex.Exit();
    }

    private void RunTasks(DmuTx tx)
    {
        _mutex.Enter();
        Action<DmuTx>[] tasks = [.. _tasks];
        _tasks.Clear();
        _mutex.Exit();
        foreach (Action<DmuTx> task in tasks)
        {
            task(tx);
        }
    }

    /// <summary>Writes the MOS until writing it changes it no more.</summary>
    private void SyncMos(DmuTx tx)
    {
        FlushDirs(tx);
        int pass = 0;
        while (true)
        {
            bool appended = Allocator.SyncPass(tx.Txg, tx);
            if (!appended && !Mos.IsDirty(tx.Txg))
            {
                break;
            }

            if (++pass > PassesMax)
            {
                throw new InvalidOperationException($"txg {tx.Txg}: the MOS does not converge after {PassesMax} passes");
            }

            // A block that shrinks is padded to the size it had and so stays in place; one that keeps growing is stored uncompressed in the end.
            _sync.Sync(Mos, tx, ref _rootBp, compressMetadata: pass <= CompressPasses);
            if (_sync.UsedDelta != 0 || _sync.CompressedDelta != 0 || _sync.UncompressedDelta != 0)
            {
                MosDir.DidUse(DslDirPhys.UsedHead, _sync.UsedDelta, _sync.CompressedDelta, _sync.UncompressedDelta);
            }

            FlushDirs(tx);
        }

        LastPasses = pass;
    }

    private void FlushDirs(DmuTx tx)
    {
        foreach (DslDir dir in _dirtyDirs)
        {
            dir.Flush(tx);
        }

        _dirtyDirs.Clear();
    }

    /// <summary>
    /// Commit: flush; labels 0 and 2 if the configuration changed; flush; the uberblock everywhere; flush; labels 1 and 3.
    /// </summary>
    private void WriteLabels(ulong txg, bool config)
    {
        FlushVdevs(config);
        PoolConfig? current = config ? _config.With(_exporting ? PoolState.Exported : PoolState.Active, txg, CurrentTops()) : null;
        if (current is not null)
        {
            WriteConfigLabels(current, 0);
            FlushVdevs(config);
        }

        Uberblock ub = _uberblock;
        ub.Txg = txg;
        ub.GuidSum = current?.GuidSum ?? ub.GuidSum;
        ub.Timestamp = (ulong)Kmem.Spl.Kclock.WallTime().Seconds;
        ub.RootBp = _rootBp;
        ub.Version = _config.Version;
        for (int i = 0; i < Vdevs.Count; i++)
        {
            Vdev v = Vdevs[i];
            if (IsWritten(v, config))
            {
                Check(v, VdevLabel.WriteUberblock(v.Door, v.Ashift, ub, _stored), "a write of an uberblock to");
            }
        }

        FlushVdevs(config);
        _uberblock = ub;
        if (current is not null)
        {
            WriteConfigLabels(current, 1);
            FlushVdevs(config);
            _config = current;
            _configDirty = false;
        }
    }

    private List<VdevConfig> CurrentTops()
    {
        var tops = new List<VdevConfig>();
        foreach (VdevConfig top in _config.Tops)
        {
            Vdev? v = top.Id < (ulong)_vdevsById.Length ? _vdevsById[top.Id] : null;
            tops.Add(v is null ? top : top.WithMetaslabArray(v.MetaslabArray));
        }

        return tops;
    }

    private void WriteConfigLabels(PoolConfig config, int first)
    {
        foreach (Vdev v in Vdevs)
        {
            if (IsWritten(v, logs: true))
            {
                Check(v, VdevLabel.WriteConfig(v.Door, first, config.ToLabel(config.Tops.First(t => t.Id == v.Id)), _stored), "a write of a label to");
            }
        }
    }

    private void FlushVdevs(bool config)
    {
        for (int i = 0; i < Vdevs.Count; i++)
        {
            Vdev v = Vdevs[i];
            if (IsWritten(v, config || v.HasUnflushedLog))
            {
                Check(v, v.IsLog ? v.FlushLog() : v.Flush(), "a flush of");
            }
        }
    }

    /// <summary>Log blocks are flushed by who commits, unless a txg comes in between: they lead to blocks that it says are allocated. Beside that a
    /// txg needs log devices only for their labels, and can do without those.</summary>
    private static bool IsWritten(Vdev v, bool logs) => !v.IsLog || (logs && v.Fault is null);

    private void Check(Vdev v, int error, string what)
    {
        if (error == 0)
        {
            return;
        }

        if (!v.IsLog)
        {
            Fail(error);
        }

        FailLog(v, what, error);
    }
}
