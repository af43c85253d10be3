using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// Log devices that join and leave an open pool.
///
/// Joining: labels that belong to no pool yet (txg 0), then one txg makes the metaslab array, lists the vdev and writes the labels proper. Leaving: no new log
/// block goes there; the chains of the logs are given up, with everything synced; when the last free is on disk one txg frees the space
/// maps and takes the vdev out of the list, where a hole keeps its place unless it was the last; then its labels are wiped. A crash
/// on the way leaves the pool as it was before or as it is afterwards.
///
/// Locks: spa_vdev, the first of all, over the waits for txgs. The lists of vdevs are replaced by the sync thread, never changed: who has read one
/// may go on with it. A vdev is listed before the allocator gives its blocks out, and gives none out long before it is listed no more.
/// </summary>
public sealed partial class Spa
{
    private const int RemoveTriesMax = 8;

    private readonly Kmutex _vdevMutex = new("spa_vdev");

    /// <summary>Gives the pool a device for its intent log, and the pool the device, which is closed if that fails. Throws ZfsException.</summary>
    public void AddLogDevice(IVdevIo io)
    {
        ArgumentNullException.ThrowIfNull(io);
        _vdevMutex.Enter();
        try
        {
            CheckChangeable();
            AddLog(io);
        }
        catch
        {
            if (Vdevs.All(v => v.Io != io))
            {
                io.Dispose();
            }

            throw;
        }
        finally
        {
            _vdevMutex.Exit();
        }
    }

    /// <summary>Takes a log device out of the pool, and closes it. It may be one that is missing. Throws ZfsException: ENODEV, EBUSY, EINVAL, EIO.</summary>
    /// <param name="name">Its path, or its guid (hexadecimal).</param>
    public void RemoveLogDevice(string name)
    {
        _vdevMutex.Enter();
        try
        {
            CheckChangeable();
            Vdev vdev = FindVdev(name);
            RemoveLog(vdev);
            if (!vdev.IsMissing)
            {
                int error = VdevLabel.Wipe(vdev.Io);
                error = error != 0 ? error : vdev.Io.Flush();
                vdev.Io.Dispose();

                // One that has failed may well not take that; the pool knows that it was removed.
                PoolFormatter.Check(vdev.Fault is null ? error : 0, vdev.Path, "wipe the labels");
            }
        }
        finally
        {
            _vdevMutex.Exit();
        }
    }

    private static Vdev?[] ById(IReadOnlyList<Vdev> vdevs)
    {
        var byId = new Vdev?[vdevs.Max(static v => v.Id) + 1];
        foreach (Vdev v in vdevs)
        {
            byId[v.Id] = v;
        }

        return byId;
    }

    private void CheckChangeable()
    {
        if (ReadOnlyReason is { } reason)
        {
            throw new ZfsException(Errno.EROFS, $"pool '{Name}' can only be read: {reason}");
        }

        if (IsSuspended)
        {
            throw new ZfsException(Errno.EIO, $"pool '{Name}' is suspended: {Suspension.Reason}");
        }

        CheckAlive();
    }

    private void CheckAlive()
    {
        if (HasFailed)
        {
            throw new ZfsException(Errno.EIO, $"pool '{Name}' has failed: {SuspendReason}");
        }
    }

    private void AddLog(IVdevIo io)
    {
        const int VdevsMax = 64;
        if (io.Size < Vdev.MinDeviceSize)
        {
            throw new ZfsException(Errno.EOVERFLOW, $"{io.Path}: {io.Size >> 20} MiB is too small for a log device, 64 MiB is the least");
        }

        ulong id = _config.Holes.Count > 0 ? _config.Holes[0] : (ulong)_config.Tops.Count;
        if (id >= VdevsMax)
        {
            throw new ZfsException(Errno.EINVAL, $"pool '{Name}' has {VdevsMax} devices, no more are supported");
        }

        ulong guid = Krandom.NextUInt64() | 1;
        Vdev plan = MakeLog(io, (uint)id, guid, 0, 0);
        PoolFormatter.Check(VdevLabel.Initialise(io, _config.With(PoolState.Active, 0).ToLabel(plan.ToConfig())), io.Path, "label");
        PoolFormatter.Check(io.Flush(), io.Path, "flush");
        _ = RunSyncTask(tx =>
        {
            Vdev vdev = MakeLog(io, (uint)id, guid, MakeArray(plan, tx), tx.Txg);
            SetTops([.. _config.Tops.Where(t => t.Id != id).Append(vdev.ToConfig()).OrderBy(static t => t.Id)]);
            SetVdevs([.. Vdevs.Append(vdev).OrderBy(static v => v.Id)]);
            Allocator.AddLog(vdev);
        });
        CheckAlive();
        if (Vdevs.FirstOrDefault(v => v.Io == io) is { Fault: not null } failed)
        {
            RemoveLog(failed);
            CheckNotFailed(failed);
        }
    }

    private Vdev MakeLog(IVdevIo io, uint id, ulong guid, ulong array, ulong txg)
    {
        int ashift = Vdevs.Max(static v => v.Ashift);
        ulong asize = Vdev.AsizeFor(io.Size) & ~((1UL << ashift) - 1);
        return new Vdev
        {
            Id = id,
            Guid = guid,
            Ashift = ashift,
            Asize = asize,
            MetaslabArray = array,
            MetaslabShift = Vdev.MetaslabShiftFor(asize),
            IsLog = true,
            CreateTxg = txg,
            Path = io.Path,
            Io = io,
            Guard = new PoolVdevIo(io, Suspension, mayFail: true),
        };
    }

    private ulong MakeArray(Vdev vdev, DmuTx tx)
    {
        int bytes = Math.Clamp((int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)vdev.MetaslabCount * sizeof(ulong)), 512, ZioBuf.MaxSize);
        Dnode array = Mos.AllocateObject(DmuOt.ObjectArray, bytes, DmuOt.None, 0, tx);
        ulong obj = array.Object;
        array.Release();
        return obj;
    }

    private Vdev FindVdev(string name)
    {
        Vdev vdev = Vdevs.Concat(MissingLogs).FirstOrDefault(v => v.Io.Path == name || v.Path == name || v.Guid.ToString("x16") == name)
            ?? throw new ZfsException(Errno.ENODEV, $"{name} is no device of pool '{Name}'");
        return vdev.IsLog ? vdev : throw new ZfsException(Errno.EINVAL, $"{name} holds data of pool '{Name}': only log devices can be removed");
    }

    private void RemoveLog(Vdev vdev)
    {
        Allocator.UseLog(vdev.Id, use: false);
        bool gone = false;
        try
        {
            RestartLogs();
            for (int i = 0; i < RemoveTriesMax && !gone; i++)
            {
                _ = RunSyncTask(tx => gone = Leave(vdev, tx));
                CheckAlive();
            }
        }
        finally
        {
            if (!gone && !vdev.IsMissing && vdev.Fault is null)
            {
                Allocator.UseLog(vdev.Id, use: true);
            }
        }

        if (!gone)
        {
            throw new ZfsException(Errno.EBUSY,
                $"{vdev.Path} holds records of a dataset that was not unmounted cleanly and is not mounted: mount and unmount it, which does them again, and repeat");
        }
    }

    private bool Leave(Vdev vdev, DmuTx tx)
    {
        if (!Allocator.TryRemoveLog(vdev.Id, tx))
        {
            return false;
        }

        List<VdevConfig> tops = [.. _config.Tops.Select(t => t.Id == vdev.Id ? VdevConfig.Hole(t.Id) : t)];
        while (tops[^1].IsHole)
        {
            tops.RemoveAt(tops.Count - 1);
        }

        SetTops(tops);
        SetVdevs([.. Vdevs.Where(v => v != vdev)]);
        MissingLogs = [.. MissingLogs.Where(v => v != vdev)];
        return true;
    }

    private void SetTops(List<VdevConfig> tops)
    {
        _config = _config.With(_config.State, _config.Txg, tops);
        _configDirty = true;
    }

    private void SetVdevs(List<Vdev> vdevs)
    {
        // By number first: a block is looked up there, and only then is its device flushed by way of the list.
        _vdevsById = ById(vdevs);
        Vdevs = vdevs;
    }

    /// <summary>The logs end before what lies on missing devices (ZilClaim): nothing refers to that any more, nor to what only that led to.</summary>
    /// <param name="lost">That: vdev, offset, length.</param>
    private void ForgetMissingLogs(List<(uint Vdev, ulong Offset, ulong Length)> lost)
    {
        if (MissingLogs.Count > 0)
        {
            _ = RunSyncTask(tx =>
            {
                foreach (Vdev v in MissingLogs)
                {
                    Allocator.ClearLog(v.Id, tx);
                }

                foreach ((uint vdev, ulong offset, ulong length) in lost)
                {
                    Allocator.FreeRange(vdev, offset, length, tx.Txg);
                }
            });
        }
    }
}
