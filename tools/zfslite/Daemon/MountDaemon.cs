using System.Runtime.InteropServices;
using System.Text;
using ZfsLite.Cli.Posix;
using ZfsLite.Fs;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Cli;

/// <summary>
/// The daemon of one mount: memory, pool, file system, FUSE session, control socket and watchdog, set up in this order and taken
/// down in the other. It ends when the kernel says that the mount is gone, whoever unmounted it: the unmount command, umount(8),
/// fusermount3, SIGINT or SIGTERM. A proven deadlock ends it at once (<see cref="DeadlockExit"/>); so does a signal that leads to
/// nothing (<see cref="UnmountGuard"/>).
/// </summary>
internal sealed class MountDaemon : IPoolCommands
{
    /// <summary>
    /// What an unused znode and its dnode and block take: unused znodes are bounded by the arena, not by a small number, so it
    /// is reclaim that takes them away when others need the memory. The upper bound is for their objects on the managed heap.
    /// </summary>
    private const long BytesPerUnusedZnode = 2048;
    private const long UnusedZnodesMin = 4096;
    private const long UnusedZnodesMax = 16384;

    /// <summary>How long a pool that is suspended while it is closed waits for a clear.</summary>
    private const long CloseGraceNs = 15_000_000_000;

    /// <summary>How long a clear waits for what it has set going.</summary>
    private const long ClearWaitNs = 10_000_000_000;

    /// <summary>How long umount(2) may take after the pool is closed: the kernel forgets a million files in its own time.</summary>
    private const int UnmountReturnsMs = 600_000;

    private const int GivenUpTries = 100;
    private const int GivenUpPauseMs = 50;

    /// <summary>An I/O that has not come back for so long is worth a word.</summary>
    private const long StalledNs = 5_000_000_000;

    private readonly MountSettings _settings;
    private readonly TextWriter _log;
    private readonly ManualResetEventSlim _closed = new();
    private MountOptions _options;
    private Spa _spa = null!;
    private Objset _objset = null!;
    private Zfsvfs _zfsvfs = null!;
    private FuseServer _server = null!;
    private readonly Lock _changing = new();
    private bool _closing;
    private string? _closeError;
    private int _unmounting;

    private MountDaemon(MountSettings settings, TextWriter log)
    {
        _settings = settings;
        _options = settings.Options;
        _log = log;
    }

    /// <summary>Mounts, serves until unmounted, closes the pool; the exit code.</summary>
    internal static int Run(CommandIo io, MountSettings settings)
    {
        DaemonProcess.Prepare(settings);
        var daemon = new MountDaemon(settings, DaemonProcess.Log(io));
        return daemon.Serve(io);
    }

    private int Serve(CommandIo io)
    {
        RefuseDeviceInside(_settings.Devices);
        _ = KmemSystem.Init(new KmemOptions
        {
            ArenaBytes = _settings.MemoryBytes,
            Policy = _settings.Policy,
            SlabEngine = _settings.SlabEngine,
            Spl = new SplEngineOptions { SlabLimit = _settings.SplSlabLimit },
            SlabDebug = _settings.SlabDebug,
            MinFreeBytes = KmemOptions.MinFreeBytesFor(_settings.MemoryBytes, _settings.SlabEngine, _settings.SplSlabLimit),
            TortureReclaim = _settings.TortureReclaim,
            Warn = _log.WriteLine,
        });
        OpenAll();
        using var control = new ControlServer(ControlPaths.SocketFor(_spa.Name, Environment.ProcessId), this);
        var deadlock = new DeadlockExit(_settings, _spa.Name, _server, control.SocketPath, () => KmemReport.Make(_spa, _zfsvfs).Counters, _log);
        deadlock.CatchCrashes();
        var watchdog = new Watchdog(new WatchdogOptions()) { OnDeadlock = deadlock.Run, OnSlowWait = w => _log.WriteLine(w.ToText()) };
        watchdog.Start();
        control.Start();
        _spa.Suspension.Changed = line => _log.WriteLine($"zfslite: pool {_spa.Name} {line}");
        _spa.Suspension.Enable();
        var guard = new UnmountGuard(_settings.UnmountLimitSeconds, RequestUnmount, Progress, deadlock.Stuck, _closed, _log);
        using PosixSignalRegistration interrupt = guard.On(PosixSignal.SIGINT);
        using PosixSignalRegistration terminate = guard.On(PosixSignal.SIGTERM);
        HoldSyncForTest();
        DaemonProcess.Ready(io, $"pool {_spa.Name} is mounted on {_settings.Directory}{ReadOnlyNote()}{MissingNote()}; unmount it with: zfslite unmount {_settings.Directory}", _spa.Name);

        _server.WaitEnded();
        try
        {
            CloseAll();
        }
        catch (Exception e)
        {
            _closeError = CliException.OneLine(e is ZfsException ? e.Message : $"{e.GetType().Name}: {e.Message}");
        }

        watchdog.Stop();
        if (_closeError is null && KmemSystem.Current.DescribeLeaks() is { } leaks)
        {
            _log.WriteLine($"zfslite: warning: memory was not given back by the end of the mount: {leaks}");
        }

        _closed.Set();
        control.Close(Volatile.Read(ref _unmounting) > 0 ? UnmountReturnsMs : ControlServer.ReadTimeoutMs);
        if (_closeError is not null)
        {
            throw new CliException($"pool {_spa.Name} was not closed cleanly: {_closeError}");
        }

        // The pool is closed and everything is answered. The runtime's own way out would wait up to 2 s for its finalizers.
        io.Out.Flush();
        io.Error.Flush();
        Native.ExitNow(ExitCode.Ok);
        return ExitCode.Ok;
    }

    /// <summary>A pool whose device lies on its own mount waits for itself.</summary>
    private void RefuseDeviceInside(IReadOnlyList<string> devices)
    {
        string inside = _settings.Directory.TrimEnd('/') + "/";
        if (devices.FirstOrDefault(d => d.StartsWith(inside, StringComparison.Ordinal)) is { } device)
        {
            throw new CliException($"{device} lies in {_settings.Directory}: mounted there it could not be reached any more", "choose another directory");
        }
    }

    private void OpenAll()
    {
        _spa = OpenPool.Open(_settings.Devices, _options.ReadOnly, _settings.WithoutLog);
        try
        {
            _objset = _spa.OpenObjset(DatasetName.Full(_spa.Name, _options.Dataset));
            AtimeMode atime = _options.Atime ?? (_objset.AtimeOn ? AtimeMode.On : AtimeMode.Off);
            _zfsvfs = Zfsvfs.Mount(_objset, _objset.IsReadOnly, atime);
            _zfsvfs.Znodes.UnusedMax = (int)Math.Clamp(_settings.MemoryBytes / BytesPerUnusedZnode, UnusedZnodesMin, UnusedZnodesMax);
            _server = FuseServer.Start(WithControlDirectory(new ZfsvfsFuse(_zfsvfs)), new FuseMountOptions
            {
                MountPoint = _settings.Directory,
                Source = _objset.Dataset!.Name,
                ReadOnly = _zfsvfs.IsReadOnly,
                AllowOther = _options.AllowOther ? true : null,
                Dev = _options.Dev ?? false,
                Suid = _options.Suid ?? false,
                NoExec = _options.Exec == false,
                Trace = _settings.Trace ? _log : null,
                Log = _log,
            });
        }
        catch (Exception e)
        {
            _zfsvfs?.Unmount();
            if (_objset is not null)
            {
                _spa.CloseObjset(_objset);
            }

            _spa.Close();
            throw e is FuseMountException ? new CliException(e.Message) : e;
        }
    }

    /// <summary>A suspended pool would hold the unmount up: it is given up.</summary>
    private void RequestUnmount()
    {
        if (_spa.IsSuspended)
        {
            _spa.Suspension.GiveUp();
        }

        _server.RequestUnmount();
    }

    private void CloseAll()
    {
        // First of all: a change of devices that waits for a suspended pool must end.
        _spa.Suspension.Limit(CloseGraceNs);
        lock (_changing)
        {
            _closing = true;
        }

        _server.Dispose();
        _zfsvfs.Unmount();
        _spa.CloseObjset(_objset);
        _spa.Close();
        if (_spa.HasFailed)
        {
            _closeError = $"it was suspended: {_spa.SuspendReason}; what was not synced is lost, it opens as of txg {_spa.Uberblock.Txg}";
        }
    }

    private static ControlDirectory WithControlDirectory(IFuseFileSystem fs)
    {
        var control = new ControlDirectory(fs);
        control.AddFile("kstat/kmem/slab", static () => Encoding.UTF8.GetBytes(KmemSlabTable.Format(KmemSlabTable.Lines(KmemStats.Snapshot()))));
        return control;
    }

    /// <summary>Changes whenever a txg is on disk or a request is answered.</summary>
    private (ulong Txg, long Requests) Progress() => (_spa.IsReadOnly ? 0 : _spa.Txg.SyncedTxg, _server.Session.Statistics().Sum(static s => s.Count));

    /// <summary>For tests of a daemon that is stuck: while the file that the variable names is there, the sync thread gets no further.</summary>
    private void HoldSyncForTest()
    {
        const long LookNs = 50_000_000;
        if (Environment.GetEnvironmentVariable("ZFSLITE_TEST_HOLD_SYNC") is not { Length: > 0 } file || _spa.IsReadOnly)
        {
            return;
        }

        _ = Kthread.Start("test_hold_sync", () => _spa.RunSyncTask(_ =>
        {
            while (File.Exists(file))
            {
                Kthread.Sleep(LookNs);
            }
        }));
    }

    private string ReadOnlyNote() => _zfsvfs.IsReadOnly ? $", read-only ({_spa.ReadOnlyReason ?? "asked for"})" : "";

    private string MissingNote() => _spa.MissingLogs.Count > 0 ? $", without its log device {string.Join(", ", _spa.MissingLogs.Select(static v => v.Path))}" : "";

    public HelloInfo Hello() => new()
    {
        Pool = _spa.Name,
        Dataset = _objset.Dataset!.Name,
        MountPoint = _settings.Directory,
        Devices = [.. _spa.Vdevs.Select(static v => v.Io.Path)],
        Pid = Environment.ProcessId,
    };

    private static LogInfo LogOf(Zfsvfs fs)
    {
        ZilogStats s = fs.LogStats;
        return new LogInfo
        {
            Sync = DatasetProperty.Sync.Format((ulong)fs.SyncMode),
            Commits = s.Commits,
            Batches = s.Batches,
            Records = s.Records,
            BytesWritten = s.BytesWritten,
            Indirect = s.Indirect,
            Synced = s.Synced,
            Replayed = s.Replayed,
            Blocks = s.Blocks,
        };
    }

    public StatusInfo Status()
    {
        StatusInfo status = OpenPool.Status(_spa);
        status.State = _spa.IsSuspended ? status.State : "mounted";
        status.MountPoint = _settings.Directory;
        status.Dataset = _objset.Dataset!.Name;
        status.Options = $"{(_zfsvfs.IsReadOnly || _options.ReadOnly ? "ro" : "rw")},{MountOptions.NameOf(_zfsvfs.Atime)}";
        status.Pid = Environment.ProcessId;
        status.Txg = _spa.IsReadOnly ? status.Txg : _spa.Txg.SyncedTxg;
        status.Dirty = _spa.IsReadOnly ? 0 : _spa.Txg.DirtyBytes;
        status.Log = _zfsvfs.IsReadOnly ? null : LogOf(_zfsvfs);
        status.Arena = KmemSystem.Current.ArenaBytes;
        status.Policy = KmemLimits.NameOf(KmemSystem.Current.Policy);
        status.SlabEngine = KmemLimits.NameOf(_settings.SlabEngine);
        long stalledNs = _spa.OldestIo(out string device, out IoKind kind);
        if (stalledNs >= StalledNs)
        {
            status.Warnings.Add($"{device} has not answered a {KmemLimits.NameOf(kind)} for {stalledNs / 1_000_000_000} s");
        }

        if (!KmemSystem.Current.Locked)
        {
            status.Warnings.Add($"the arena is not locked into memory: {KmemSystem.Current.LockReason}");
        }

        if (FuseIoFlusher.Status != "on")
        {
            status.Warnings.Add($"PR_SET_IO_FLUSHER is {FuseIoFlusher.Status}");
        }

        return status;
    }

    public List<DatasetRow> List()
    {
        List<DatasetRow> rows = OpenPool.List(_spa);
        rows.ForEach(r => r.MountPoint = r.Name == _objset.Dataset!.Name ? _settings.Directory : null);
        return rows;
    }

    public List<PropertyRow> Get(string? dataset, IReadOnlyList<string> names) => OpenPool.Get(_spa, dataset, names);

    public void Set(string? dataset, IReadOnlyDictionary<string, string> values)
    {
        if (_spa.ReadOnlyReason is { } reason)
        {
            throw new CliException($"pool {_spa.Name} can only be read: {reason}");
        }

        OpenPool.Set(_spa, dataset, values);
        if (values.ContainsKey("atime") && _options.Atime is null)
        {
            _zfsvfs.Atime = _objset.AtimeOn ? AtimeMode.On : AtimeMode.Off;
        }
    }

    public void AddLog(IReadOnlyList<string> devices)
    {
        RefuseDeviceInside(devices);
        Change(() => OpenPool.AddLog(_spa, devices));
    }

    public void RemoveLog(string device) => Change(() => _spa.RemoveLogDevice(device));

    /// <summary>Changes the devices of the pool, which does not close meanwhile.</summary>
    private void Change(Action change)
    {
        lock (_changing)
        {
            if (_closing)
            {
                throw new CliException($"{_settings.Directory} is being unmounted");
            }

            change();
        }
    }

    public KmemInfo Kmem() => KmemReport.Make(_spa, _zfsvfs);

    public List<KmemLeak> KmemLeaks() => _settings.SlabDebug.Watches(SlabDebugFlags.Leaks)
        ? [.. KmemSystem.Current.LiveAllocations()]
        : throw new CliException($"no cache of pool {_spa.Name} is watched for leaks", "mount it with --slab-debug L, or --slab-debug L,CACHE");

    public List<KmemSlabLine> KmemSlab() => [.. KmemSlabTable.Lines(KmemStats.Snapshot())];

    public List<KmemTunableRow> KmemGet(string cache, IReadOnlyList<string> names) => KmemTuning.Get(cache, names);

    public void KmemSet(string cache, IReadOnlyDictionary<string, string> values) => KmemTuning.Set(cache, values);

    public List<TxgRow> Txgs() => _spa.IsReadOnly ? [] : [.. _spa.Txg.History().Select(static t => new TxgRow
    {
        Txg = t.Txg,
        State = KmemLimits.NameOf(t.State),
        DirtyBytes = t.DirtyBytes,
        OpenMs = t.OpenNs / 1e6,
        QuiesceMs = t.QuiesceNs / 1e6,
        SyncMs = t.SyncNs / 1e6,
    })];

    public void Sync()
    {
        int error = _zfsvfs.SyncFs();
        if (error != 0)
        {
            throw new CliException($"pool {_spa.Name} cannot be synced: {Native.Error(error)}", _spa.SuspendReason);
        }
    }

    public void Clear()
    {
        PoolSuspension suspension = _spa.Suspension;
        if (_spa.HasFailed || suspension.Final is not null)
        {
            throw new CliException($"pool {_spa.Name} cannot go on: {OpenPool.SuspensionText(_spa)}");
        }

        if (suspension.Clear() && !suspension.WaitCleared(ClearWaitNs))
        {
            throw new CliException(OpenPool.SuspensionText(_spa) is { } text ? $"pool {_spa.Name} is suspended again: {text}" : $"a device of pool {_spa.Name} has not answered yet", $"see: zfslite status {_spa.Name}");
        }

        Change(() => _spa.ClearLogFaults());
    }

    public void Remount(MountOptions options)
    {
        MountOptions merged = MountOptions.Parse([_options.ToString(), options.ToString()]);
        if (!merged.ReadOnly && _zfsvfs.IsReadOnly && options.ReadOnlyGiven)
        {
            throw new CliException($"{_settings.Directory} cannot become writable: the pool was opened read-only ({_spa.ReadOnlyReason ?? "asked for"})", "unmount it and mount it again");
        }

        if (options.Dataset is not null)
        {
            throw new CliException("another dataset needs a mount of its own", CommandLine.UsageOf("mount"), ExitCode.Usage);
        }

        if (options.ReadOnlyGiven || options.Dev is not null || options.Suid is not null || options.Exec is not null)
        {
            _ = _zfsvfs.SyncFs();
            MountPoint.Remount(_settings.Directory, _objset.Dataset!.Name, merged, merged.ReadOnly || _zfsvfs.IsReadOnly);
        }

        if (options.Atime is { } atime)
        {
            _zfsvfs.Atime = atime;
        }

        _options = merged;
    }

    public void Unmount()
    {
        // Who waits for a suspended pool has files open: he gets an error now, and a moment to close them.
        int triesLeft = _spa.IsSuspended ? GivenUpTries : 1;
        if (_spa.IsSuspended)
        {
            _spa.Suspension.GiveUp();
        }

        Interlocked.Increment(ref _unmounting);
        try
        {
            while (true)
            {
                try
                {
                    MountPoint.Unmount(_settings.Directory);
                    break;
                }
                catch (CliException) when (--triesLeft > 0)
                {
                    Thread.Sleep(GivenUpPauseMs);
                }
            }

            _closed.Wait();
        }
        finally
        {
            Interlocked.Decrement(ref _unmounting);
        }

        if (_closeError is not null)
        {
            throw new CliException($"pool {_spa.Name} was not closed cleanly: {_closeError}");
        }
    }
}
