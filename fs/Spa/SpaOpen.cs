using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Opening and closing a pool.</summary>
public sealed partial class Spa
{
    private bool _started;

    /// <summary>
    /// Opens the pool that the devices belong to, all of them given. Throws ZfsException with a one-line message: not a pool, parts
    /// missing, not supported, damaged. On success the devices belong to the pool; otherwise they stay the caller's.
    /// </summary>
    public static Spa Open(IReadOnlyList<IVdevIo> devices, SpaOpenOptions options)
    {
        ArgumentNullException.ThrowIfNull(devices);
        ArgumentNullException.ThrowIfNull(options);
        var suspension = new PoolSuspension();
        (PoolConfig config, List<Vdev> vdevs, Uberblock ub) = PoolLabels.Read(devices, suspension, options.WithoutLog);
        if (!options.ReadOnly && devices.Any(static d => d.IsReadOnly))
        {
            throw new ZfsException(Errno.EROFS, $"pool '{config.Name}': a device is open for reading only");
        }

        var spa = new Spa(config, vdevs, ub, suspension, options);
        try
        {
            spa.LoadMos();
            spa.LoadTree();
            if (!spa.IsReadOnly)
            {
                List<Objset> claimed = spa.ClaimLogs(out ulong newest);
                List<(uint, ulong, ulong)> lost = spa.IsLogCut ? PoolChecker.Unreachable(PoolReader.Open(devices)) ?? [] : [];
                spa.StartWriting();
                spa.FinishClaims(claimed, newest);
                spa.ForgetMissingLogs(lost);
            }

            return spa;
        }
        catch
        {
            spa.Abandon();
            throw;
        }
    }

    /// <summary>Writes everything, marks the pool exported, closes the devices. Object sets must have been closed.</summary>
    public void Close()
    {
        if (_closed)
        {
            return;
        }

        _closed = true;
        if (_started)
        {
            if (!HasFailed)
            {
                _exporting = true;
                _configDirty = true;
                Txg.WaitSynced(0);
            }

            Txg.Stop();
        }

        if (!HasFailed)
        {
            FreeMemory();
        }
        else
        {
            EndThreads();
        }

        BeforeDevicesClose?.Invoke();
        foreach (Vdev v in Vdevs)
        {
            v.Io.Dispose();
        }
    }

    /// <summary>For tests: runs when everything is written and the devices are still open.</summary>
    internal Action? BeforeDevicesClose { get; set; }

    private void LoadMos()
    {
        Mos.Compression = ZioCompressType.Lzjb;
        Mos.Load(_rootBp);
        if (Mos.Kind != ObjsetPhys.TypeMeta)
        {
            throw new ZfsException(Errno.EIO, $"pool '{Name}': the MOS is of kind {Mos.Kind}");
        }

        Allocator.ReadGangHeader = ReadGangChildren;
        Allocator.Open(Mos);
    }

    private unsafe void ReadGangChildren(in Blkptr bp, Span<Blkptr> children)
    {
        byte* header = stackalloc byte[512];
        int error = Errno.EIO;
        for (int copy = 0; copy < bp.DvaCount && error != 0; copy++)
        {
            error = ZioReader.ReadGangHeader(_vdevsById, bp, copy, header);
        }

        if (error != 0)
        {
            throw new ZfsException(Errno.EIO, $"gang header of {bp} can't be read");
        }

        for (int i = 0; i < 3; i++)
        {
            children[i] = ((Blkptr*)header)[i];
        }
    }

    private void StartWriting()
    {
        _configDirty = true;
        Txg.Start();
        _started = true;
    }

    private void FreeMemory()
    {
        Prefetcher.Destroy();
        Mos.Unload();
        Pipeline.Dispose();
        Allocator.Dispose();
        Arc.Dispose();
        BonusCache.Destroy();
        Dnodes.Destroy();
        _stored?.Destroy();
        DnodeCache.Destroy();
    }

    /// <summary>A suspended pool: what was dirty stays in memory, but nothing runs any more and reclaim does not come back.</summary>
    private void EndThreads()
    {
        Prefetcher.Destroy();
        Pipeline.Dispose();
        Shrinkers.Unregister(Arc);
    }

    private void Abandon()
    {
        if (_started)
        {
            Txg.Stop();
        }

        foreach (DslDataset ds in _datasets.Values)
        {
            ds.Objset?.Unload();
            ds.Objset = null;
        }

        FreeMemory();
    }
}
