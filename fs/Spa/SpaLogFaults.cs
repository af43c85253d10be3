using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Log devices that fail. What they hold is in memory too, so nobody has to wait for them: the commit that met the error gives its chain
/// up and waits for a txg instead, which drops the chain's head; log blocks go to the data disks from then on. A txg that can't write
/// their labels goes on without. The device stays in the pool, unused, until <see cref="ClearLogFaults"/> finds it mended or
/// <see cref="RemoveLogDevice"/> takes it out. At the next open it is in use again: no chain refers to it, and its labels, however old, say
/// what they must.
/// </summary>
public sealed partial class Spa
{
    private long _logFaults;

    /// <summary>How often a log device has failed: a chain begun before the last time may have blocks that can't be read again.</summary>
    internal long LogFaults => Katomic.Load(ref _logFaults);

    /// <summary>Puts the log devices that have failed back in use. Throws ZfsException (EIO) if one still fails.</summary>
    /// <returns>How many there were.</returns>
    public int ClearLogFaults()
    {
        _vdevMutex.Enter();
        try
        {
            List<Vdev> failed = [.. Vdevs.Where(static v => v.Fault is not null)];
            if (failed.Count > 0)
            {
                CheckChangeable();
                RestartLogs();
                failed.ForEach(Mend);
            }

            return failed.Count;
        }
        finally
        {
            _vdevMutex.Exit();
        }
    }

    /// <summary>A write or flush of a log device has failed, twice.</summary>
    internal void FailLog(Vdev vdev, string what, int error)
    {
        if (vdev.Fault is not null)
        {
            return;
        }

        vdev.Fault = $"{what} {vdev.Io.Path} failed: {ErrnoName.Of(error)}";
        Allocator.UseLog(vdev.Id, use: false);
        Katomic.Increment(ref _logFaults);
        Suspension.Changed?.Invoke($"goes on without its log device: {vdev.Fault}");
    }

    /// <summary>No chain refers to it: whatever it lost does not matter.</summary>
    private void Mend(Vdev vdev)
    {
        vdev.Io.Renew();
        int error = VdevLabel.Probe(vdev.Door);
        if (error != 0)
        {
            throw new ZfsException(Errno.EIO, $"log device {vdev.Io.Path} of pool '{Name}' still fails: {ErrnoName.Of(error)}");
        }

        vdev.Fault = null;
        _ = RunSyncTask(_ => _configDirty = true);
        CheckAlive();
        CheckNotFailed(vdev);
        Allocator.UseLog(vdev.Id, use: true);
        Suspension.Changed?.Invoke($"uses its log device {vdev.Io.Path} again");
    }

    private void CheckNotFailed(Vdev vdev)
    {
        if (vdev.Fault is { } fault)
        {
            throw new ZfsException(Errno.EIO, $"log device {vdev.Io.Path} of pool '{Name}': {fault}");
        }
    }

    /// <summary>Everything is synced, and new chains begin where log blocks are given out now.</summary>
    private void RestartLogs()
    {
        foreach (DslDataset ds in _datasets.Values)
        {
            _ = ds.Objset?.Log?.Restart();
        }
    }
}
