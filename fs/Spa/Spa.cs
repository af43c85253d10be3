using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// An open pool (spa_t): its devices, the MOS, the tree of datasets, the cache, the allocator, and the transaction engine that it
/// hosts. Layers, from the disk up: IVdevIo, Vdev, labels → ZioReader and ZioPipeline (checksums, compression, copies) → SpaAllocator
/// (space maps) → Arc, Dbuf, Dnode, Objset (the DMU) → Zap → DSL (datasets and their accounts) → ZPL (Zfsvfs) → FUSE.
///
/// A txg on disk. Everything is copied on write; SyncTxg writes the dirty object sets, then the MOS in passes until writing it
/// changes it no more (a block born in the txg is written again in place), then flushes the devices, writes the uberblock to every label and
/// flushes again. Until the uberblock is down the pool is the old one. Space freed in txg N is handed out again only after N + 2.
///
/// A pool whose devices fail it suspends: what is to be written waits, with what is dirty, until it is told to try again (PoolSuspension). Given up,
/// it has failed: nothing more is written, every later change and fsync fails with EIO, reads go on.
/// The MOS, the DSL objects and the space maps are changed by the sync thread alone.
/// </summary>
public sealed partial class Spa : ITxgHost
{
    private const long SlopMinBytes = 32L << 20;

    private const int SyncDnodes = 64;

    private readonly Stack<Dnode> _dnodePool = new();
    private readonly Kmutex _poolMutex = new("dnode_pool");
    private readonly Kmutex _mutex = new("spa_mtx");
    private readonly List<Objset>[] _dirtyObjsets = [[], [], [], []];
    private readonly List<Objset> _writtenObjsets = [];
    private readonly List<DslDir> _dirtyDirs = [];
    private readonly List<DslDataset> _dirtyDatasets = [];
    private readonly bool _writeWithSnapshots;
    private readonly List<Action<DmuTx>> _tasks = [];
    private readonly ObjsetSync _sync;
    private Vdev?[] _vdevsById;
    private readonly int _sectorBytes;
    private readonly Mempool? _stored;
    private PoolConfig _config;
    private Uberblock _uberblock;
    private Blkptr _rootBp;
    private long _checksumErrors;
    private bool _configDirty;
    private bool _exporting;
    private bool _closed;
    private string? _failReason;

    private Spa(PoolConfig config, IReadOnlyList<Vdev> all, in Uberblock uberblock, PoolSuspension suspension, SpaOpenOptions options)
    {
        Suspension = suspension;
        _config = config;
        List<Vdev> vdevs = [.. all.Where(static v => !v.IsMissing)];
        MissingLogs = [.. all.Where(static v => v.IsMissing)];
        Vdevs = vdevs;
        _uberblock = uberblock;
        _rootBp = uberblock.RootBp;
        _vdevsById = ById(vdevs);
        _sectorBytes = 1 << vdevs.Max(static v => v.Ashift);
        ReadOnlyReason = options.ReadOnly ? "opened read-only" : null;
        _writeWithSnapshots = options.WriteWithSnapshots;

        // First: of what comes here, this alone can refuse the pool.
        Allocator = new SpaAllocator(all) { IsShort = () => IsShort };
        Arc = new Arc();
        DnodeCache = KmemCache.Create("dnode_t", Dnode.NativeBytes);
        Dnodes = new SyncPool("dnode", DnodeCache, SyncDnodes);
        _stored = SyncPool.InForce ? Mempool.OfCache("zio_stored", ZioBuf.CacheFor(ZioBuf.MaxSize), 1) : null;
        BonusCache = KmemCache.Create("dn_bonus", DnodePhys.MaxBonus);
        int workers = options.Workers > 0 ? options.Workers : Math.Clamp(Kthread.CpuCount, 1, 4);
        Pipeline = new ZioPipeline(Allocator, vdevs, workers);
        Prefetcher = new Prefetcher(workers);
        Txg = new TxgEngine(this, new TxgOptions
        {
            DirtyMaxBytes = KmemSystem.Current.ArenaBytes / 100 * options.DirtyPercent,
            FirstTxg = uberblock.Txg + 1,
            TimeoutNs = options.TxgTimeoutSeconds * 1_000_000_000L,
        });
        _sync = new ObjsetSync(this);
        Mos = new Objset(this, 0, null, false);
    }

    /// <summary>Name of the pool.</summary>
    public string Name => _config.Name;

    /// <summary>Identity of the pool.</summary>
    public ulong Guid => _config.PoolGuid;

    /// <summary>Pool version on disk.</summary>
    public ulong Version => _config.Version;

    /// <summary>Top-level vdevs that are here. A list is never changed, but may be replaced.</summary>
    public IReadOnlyList<Vdev> Vdevs { get; private set; }

    /// <summary>Log vdevs of the pool that are not here; it was opened all the same (<see cref="SpaOpenOptions.WithoutLog"/>).</summary>
    public IReadOnlyList<Vdev> MissingLogs { get; private set; }

    /// <summary>The transaction engine.</summary>
    public TxgEngine Txg { get; }

    /// <summary>The block cache.</summary>
    public Arc Arc { get; }

    /// <summary>The space allocator.</summary>
    public SpaAllocator Allocator { get; }

    /// <summary>Why the pool is open for reading only; null if it can be written.</summary>
    public string? ReadOnlyReason { get; private set; }

    /// <summary>True if nothing may be written.</summary>
    public bool IsReadOnly => ReadOnlyReason is not null;

    /// <summary>The pool waits for its devices, or has failed for good.</summary>
    public bool IsSuspended => HasFailed || Suspension.IsSuspended;

    /// <summary>It will never be written again before it is opened anew: it takes no more changes.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>What made it suspend or fail; null if it did neither.</summary>
    public string? SuspendReason => HasFailed ? _failReason : Suspension.Reason;

    /// <summary>How failures of the devices are waited for.</summary>
    public PoolSuspension Suspension { get; }

    /// <summary>Copies of blocks that failed to read or had a bad checksum since the open.</summary>
    public long ChecksumErrors => Katomic.Load(ref _checksumErrors);

    /// <summary>The last uberblock written or read.</summary>
    public Uberblock Uberblock => _uberblock;

    /// <summary>Bytes that can be allocated in all.</summary>
    public long TotalBytes => Allocator.TotalBytes;

    /// <summary>Bytes kept back from ordinary writers.</summary>
    public long SlopBytes => Math.Min(Math.Max(TotalBytes / 64, SlopMinBytes), TotalBytes / 2);

    /// <summary>Bytes that ordinary writers can still have, what is reserved for a dataset left out.</summary>
    public long AvailableBytes => TotalBytes - SlopBytes - Allocator.AllocatedBytes - RootDir.Inflight - UnusedReserved;

    /// <summary>Statistics of the write pipeline.</summary>
    public ZioPipelineStats WriteStats => Pipeline.GetStats();

    internal Objset Mos { get; }

    /// <summary>An intent log is being replayed: what was acknowledged must find room, and the log's own blocks are still taken.</summary>
    internal bool InReplay { get; set; }

    /// <summary>Top-level vdevs by number; gaps are null.</summary>
    internal IReadOnlyList<Vdev?> VdevsById => _vdevsById;

    internal ZioPipeline Pipeline { get; }

    internal Prefetcher Prefetcher { get; }

    internal WritesNow WritesNow { get; } = new();

    internal int SectorBytes => _sectorBytes;

    internal KmemCache DnodeCache { get; }

    internal KmemCache BonusCache { get; }

    /// <summary>Memory for dnodes.</summary>
    internal SyncPool Dnodes { get; }

    /// <summary>Memory is short: the sync path writes out what it has begun before it takes more.</summary>
    internal bool IsShort => KmemSystem.Current.IsShort || Arc.ReserveIsLow || Dnodes.IsLow;

    /// <summary>Everything changed before the call is on stable storage afterwards. Waits while the pool is suspended; EIO if it has failed.</summary>
    public int Sync()
    {
        if (IsReadOnly)
        {
            return 0;
        }

        Txg.WaitSynced(0);
        return HasFailed ? Errno.EIO : 0;
    }

    /// <summary>Runs a change of the MOS in the sync thread and waits until it is on disk. EROFS, EIO.</summary>
    public int RunSyncTask(Action<DmuTx> task)
    {
        ArgumentNullException.ThrowIfNull(task);
        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        _mutex.Enter();
        _tasks.Add(task);
        _mutex.Exit();
        Txg.WaitSynced(0);
        return HasFailed ? Errno.EIO : 0;
    }

    /// <summary>Reads a block into <paramref name="data"/>, trying every copy. 0 or EIO.</summary>
    internal unsafe int ReadBlock(in Blkptr bp, byte* data)
    {
        bool isSync = SyncPool.IsSyncThread;
        int stage = 0;
        while (true)
        {
            int error = ZioReader.Read(_vdevsById, bp, data, isSync ? _stored : null, out ZioReadReport report);
            if (report.BadCopies != 0)
            {
                Katomic.Add(ref _checksumErrors, System.Numerics.BitOperations.PopCount((uint)report.BadCopies));
            }

            if (error == 0)
            {
                Suspension.Passed(stage);
                return 0;
            }

            // The sync path can't go on without it.
            if (!isSync || !Suspension.TryAgain(ref stage, $"a read of {bp}", error, final: null))
            {
                return Errno.EIO;
            }
        }
    }

    internal Vdev VdevOf(in Dva dva) => _vdevsById[dva.Vdev] ?? throw new InvalidOperationException($"vdev {dva.Vdev} is not there");

    internal void FreeBlock(in Blkptr bp, ulong txg) => Allocator.Free(bp, txg);

    internal void AddDirtyObjset(Objset os, ulong txg)
    {
        if (os.IsMos)
        {
            return;
        }

        _mutex.Enter();
        List<Objset> list = _dirtyObjsets[TxgSlots<int>.Index(txg)];
        if (!list.Contains(os))
        {
            list.Add(os);
        }

        _mutex.Exit();
    }

    internal void AddDirtyDir(DslDir dir) => _dirtyDirs.Add(dir);

    internal void AddDirtyDataset(DslDataset ds)
    {
        if (!_dirtyDatasets.Contains(ds))
        {
            _dirtyDatasets.Add(ds);
        }
    }

    internal Dnode TakeDnode()
    {
        _poolMutex.Enter();
        Dnode? dn = _dnodePool.Count > 0 ? _dnodePool.Pop() : null;
        _poolMutex.Exit();
        return dn ?? new Dnode();
    }

    internal void PutDnode(Dnode dn)
    {
        const int PoolMax = 4096;
        _poolMutex.Enter();
        if (_dnodePool.Count < PoolMax)
        {
            _dnodePool.Push(dn);
        }

        _poolMutex.Exit();
    }

    /// <summary>The oldest I/O that a device has not answered: for how long, nanoseconds; 0: there is none.</summary>
    /// <param name="path">The device.</param>
    /// <param name="kind">What was asked of it.</param>
    public long OldestIo(out string path, out IoKind kind)
    {
        long oldest = 0;
        path = "";
        kind = IoKind.Read;
        foreach (Vdev v in Vdevs)
        {
            if (v.Guard is { } guard && guard.Watch.Oldest() is var io && io.AgeNs > oldest)
            {
                (kind, oldest) = io;
                path = v.Io.Path;
            }
        }

        return oldest;
    }

    /// <summary>The catastrophic-failure latch: from here on nothing is written. Unwinds the sync thread.</summary>
    internal void Fail(int error)
    {
        _failReason ??= Suspension.LastReason ?? $"writing failed: {ErrnoName.Of(error)}";
        HasFailed = true;
        throw new ZfsException(error, $"pool '{Name}' has failed: {_failReason}");
    }
}
