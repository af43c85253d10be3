using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>Transaction groups of one pool: open, quiescing, syncing.</summary>
/// <remarks>
/// <para>
/// Changes reach the disk in groups. A transaction joins the group that is open when it is assigned; the group is written as
/// a whole, and after a crash either all of it is there or nothing. Three groups are alive at once, in three states:
/// </para>
/// <list type="bullet">
/// <item><b>open</b>: takes new transactions. There is always exactly one.</item>
/// <item><b>quiescing</b>: takes no more; its last transactions are finishing. The quiesce thread waits for them.</item>
/// <item><b>syncing</b>: nobody holds it any more; the sync thread writes it through <see cref="ITxgHost.SyncTxg"/>.</item>
/// </list>
/// <para>
/// The quiesce thread opens N+1 first and then waits for the holders of N, so writers are never stopped by the change of
/// groups. At most one quiesced group waits for the sync thread; until it is taken the next one stays open. So at any time
/// open - synced is at most 4, and everything kept per txg has four slots, indexed by txg modulo 4.
/// </para>
/// <para>
/// Holds are counted per virtual CPU. A thread takes its CPU's <c>tc_open_lock</c>, reads the open txg, counts itself in, and
/// keeps the lock until its assignment is complete; the quiesce thread takes every one of these locks to advance the open
/// txg, so a txg never closes in the middle of an assignment. Nothing that sleeps for memory or for I/O may happen under
/// tc_open_lock: reclaim could come back to the same lock in the same thread.
/// </para>
/// <para>
/// When a group is pushed out: it has something to write and its time is up (5 s), or its dirty data passes a share of the
/// limit, or somebody waits for it or asks for a kick, or the pool closes. A group that nobody changed is not written.
/// </para>
/// <para>
/// Invariants, asserted: synced &lt; quiesced/syncing &lt; quiescing &lt; open; SyncTxg sees txgs in order, one at a time, with no
/// transaction holding them; WaitSynced(n) returns only when synced is at least n; a thread of the sync path never waits for a txg.
/// </para>
/// <para>
/// The recursion this project is about: a thread that holds a transaction in N allocates memory, reclaim in the same thread
/// evicts a znode whose atime is dirty, and that opens a second transaction. While N is open it simply joins N. But if the
/// assignment has to wait for anything that needs N to be written first (dirty space, an object held in N, N+2 to open), the
/// thread waits for itself. Under policy fstrans reclaim never gets that far, and Assign refuses to wait inside reclaim.
/// </para>
/// <para>
/// Memory under policy fstrans: a transaction that is assigned, the quiesce thread and the sync thread are what others wait
/// for, so they alone ask with KM_PUSHPAGE (<see cref="DmuTx.AllocFlags"/>): a transaction may go on to half of min, the sync path to
/// an eighth. What is large (data buffers) is taken before Assign; what is taken inside is small and known (dirty records, dnodes, ZAP
/// blocks), so the reserve carries one worst case per worker thread, and the sync path beside them. Nobody else may use it, so it is
/// there when they come; what they dirty is given back by the sync that they make possible.
/// </para>
/// <para>
/// Lock order: tc_open_lock (by CPU number) → tc_lock or dn_mtx. tx_sync_lock, dp_lock, dmu_tx_delay and txg_history are
/// leaves, except that txg_history may be taken under tx_sync_lock. No lock of this layer is held when the host is called.
/// Callers' order: range lock → transaction → locks of znodes and dnodes.
/// </para>
/// </remarks>
public sealed partial class TxgEngine
{
    /// <summary>TXG_SIZE: slots of everything that is kept per txg.</summary>
    public const int TxgSize = 4;

    /// <summary>TXG_MASK.</summary>
    public const int TxgMask = TxgSize - 1;

    private readonly TxgCpu[] _cpus = new TxgCpu[Kthread.CpuCount];
    private readonly WriteThrottle _throttle;
    private readonly TxgHistory _history;

    // tx_sync_lock: guards everything below that is not marked otherwise.
    private readonly Kmutex _syncLock = new("tx_sync_lock");
    private readonly Kcondvar _syncMore = new("tx_sync_more_cv");
    private readonly Kcondvar _syncDone = new("tx_sync_done_cv");
    private readonly Kcondvar _quiesceMore = new("tx_quiesce_more_cv");
    private readonly Kcondvar _quiesceDone = new("tx_quiesce_done_cv");
    private readonly Kcondvar _opened = new("tx_open_cv");
    private readonly TxgHoldersWait _holdersWait;
    private readonly TxgQuiesceMoreWait _quiesceMoreWait;
    private readonly TxgQuiesceDoneWait _quiesceDoneWait;
    private readonly IdleWait _syncIdleWait = new("something to sync (idle)");

    // Changed under every tc_open_lock at once; read anywhere.
    private long _openTxg;
    private long _quiescingTxg;
    private long _quiescedTxg;
    private long _syncingTxg;
    private long _syncedTxg;
    private long _syncWaiting;
    private long _quiesceWaiting;
    private long _kickTxg;
    private long _deadlineTxg;
    private long _deadlineNs;

    // 1 while the sync thread sleeps without a deadline: whoever touches the open txg wakes it.
    private int _syncIdle;
    private bool _running;
    private bool _exiting;
    private Kthread? _quiesceThread;
    private Kthread? _syncThread;
    private long _holdRestarts;
    private long _spaceRestarts;

    /// <summary>Makes the engine; Start runs it. The kmem system must have been set up.</summary>
    public TxgEngine(ITxgHost host, TxgOptions options)
    {
        ArgumentNullException.ThrowIfNull(host);
        ArgumentNullException.ThrowIfNull(options);
        if (options.FirstTxg < 1 || options.FirstTxg > long.MaxValue - 1 || options.DirtyMaxBytes < 0 || options.HistoryLength < TxgSize)
        {
            throw new ArgumentOutOfRangeException(nameof(options), $"FirstTxg {options.FirstTxg}, DirtyMaxBytes {options.DirtyMaxBytes}, HistoryLength {options.HistoryLength}");
        }

        Host = host;
        Options = options;
        KmemSystem kmem = KmemSystem.Current;
        Policy = kmem.Options.Policy;
        long max = options.DirtyMaxBytes != 0 ? options.DirtyMaxBytes : kmem.ArenaBytes / 100 * 40;
        _throttle = new WriteThrottle(this, options, max);
        _history = new TxgHistory(options.HistoryLength);
        _holdersWait = new TxgHoldersWait(this);
        _quiesceMoreWait = new TxgQuiesceMoreWait(this);
        _quiesceDoneWait = new TxgQuiesceDoneWait(this);
        for (int i = 0; i < _cpus.Length; i++)
        {
            _cpus[i] = new TxgCpu(i);
        }

        _openTxg = (long)options.FirstTxg;
        _syncedTxg = _openTxg - 1;
        _syncingTxg = _syncedTxg;
        _history.Enter(_openTxg, TxgState.Open);
    }

    /// <summary>The owner.</summary>
    public ITxgHost Host { get; }

    /// <summary>Tunables.</summary>
    public TxgOptions Options { get; }

    /// <summary>The open txg.</summary>
    public ulong OpenTxg => (ulong)Katomic.Load(ref _openTxg);

    /// <summary>The txg that the sync thread is writing, or last wrote.</summary>
    public ulong SyncingTxg => (ulong)Katomic.Load(ref _syncingTxg);

    /// <summary>The last txg on stable storage.</summary>
    public ulong SyncedTxg => (ulong)Katomic.Load(ref _syncedTxg);

    /// <summary>Bytes of dirty data over all txgs.</summary>
    public long DirtyBytes => _throttle.TotalBytes;

    /// <summary>The dirty limit, bytes.</summary>
    public long DirtyMaxBytes => _throttle.MaxBytes;

    /// <summary>Counters since the start.</summary>
    public TxgStats Stats => new(
        _throttle.Delays,
        _throttle.DelayedNs,
        _throttle.HardWaits,
        Katomic.Load(ref _holdRestarts),
        Katomic.Load(ref _spaceRestarts),
        _throttle.ExcessBytes);

    /// <summary>The policy in force when the engine was made.</summary>
    internal KmemPolicy Policy { get; }

    internal WriteThrottle Throttle => _throttle;

    /// <summary>For tests: called in every thread that has just got its transaction assigned.</summary>
    internal Action? AfterAssign { get; set; }

    /// <summary>True while a quiesced txg waits for the sync thread.</summary>
    internal bool HasUntakenQuiesced => Katomic.Load(ref _quiescedTxg) != 0;

    /// <summary>Starts the quiesce and sync threads.</summary>
    public void Start()
    {
        _syncLock.Enter();
        bool again = _running;
        _running = true;
        _exiting = false;
        _syncLock.Exit();
        if (again)
        {
            throw new InvalidOperationException("the txg engine runs already");
        }

        _quiesceThread = Kthread.Start("txg_quiesce", QuiesceThread);
        _syncThread = Kthread.Start("txg_sync", SyncThread);
    }

    /// <summary>Syncs everything and ends the threads. The caller has ended every transaction and starts no more.</summary>
    public void Stop()
    {
        if (!_running)
        {
            return;
        }

        WaitSynced(0);
        _syncLock.Enter();
        _exiting = true;
        _syncMore.Broadcast();
        _quiesceMore.Broadcast();
        _quiesceDone.Broadcast();
        _syncLock.Exit();
        _quiesceThread!.Join();
        _syncThread!.Join();
        _running = false;
    }

    /// <summary>Waits until a txg is on stable storage; 0: all that is open now (txg_wait_synced).</summary>
    /// <param name="txg">At most the open txg + 2 (TXG_DEFER_SIZE).</param>
    public void WaitSynced(ulong txg)
    {
        RequireMayWait();
        long open = Katomic.Load(ref _openTxg);
        long target = txg == 0 ? open : (long)txg;
        if (target > open + 2)
        {
            throw new ArgumentOutOfRangeException(nameof(txg), $"txg {txg} is far beyond the open txg {open}");
        }

        _syncLock.Enter();
        if (_syncedTxg < target)
        {
            RequireRunning();
            var reason = new TxgSyncedWait(this, target);
            _syncWaiting = Math.Max(_syncWaiting, target);
            _syncMore.Broadcast();
            while (_syncedTxg < target)
            {
                _syncDone.Wait(_syncLock, reason);
            }
        }

        _syncLock.Exit();
    }

    /// <summary>Waits until a txg is open; 0: the next one (txg_wait_open).</summary>
    /// <param name="txg">At most the open txg + 2.</param>
    public void WaitOpen(ulong txg)
    {
        RequireMayWait();
        long open = Katomic.Load(ref _openTxg);
        long target = txg == 0 ? open + 1 : (long)txg;
        if (target > open + 2)
        {
            throw new ArgumentOutOfRangeException(nameof(txg), $"txg {txg} is far beyond the open txg {open}");
        }

        _syncLock.Enter();
        if (_openTxg < target)
        {
            RequireRunning();
            var reason = new TxgOpenWait(this, target);
            _quiesceWaiting = Math.Max(_quiesceWaiting, target);
            _quiesceMore.Broadcast();
            while (_openTxg < target)
            {
                _opened.Wait(_syncLock, reason);
            }
        }

        _syncLock.Exit();
    }

    /// <summary>Asks for the open txg to be pushed out soon, without waiting.</summary>
    public void Kick()
    {
        _syncLock.Enter();
        if (_kickTxg < _openTxg)
        {
            _kickTxg = _openTxg;
            _syncMore.Broadcast();
        }

        _syncLock.Exit();
    }

    /// <summary>
    /// Charges dirty bytes to a txg (dsl_pool_dirty_space). The caller holds the txg, or is the sync thread. Only the writing
    /// of the txg may be counted on to give them back.
    /// </summary>
    public void DirtySpace(long bytes, ulong txg)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        RequireAlive(txg);
        bool first = bytes > 0 && _throttle.TxgBytes((long)txg) == 0;
        if (_throttle.Dirty(bytes, (long)txg) && txg == OpenTxg)
        {
            Kick();
        }
        else if (first)
        {
            WakeIdleSync();
        }
    }

    /// <summary>Gives them back as they are written (dsl_pool_undirty_space).</summary>
    public void UndirtySpace(long bytes, ulong txg)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        RequireAlive(txg);
        _throttle.Undirty(bytes, (long)txg);
    }

    /// <summary>The last txgs, oldest first.</summary>
    public IReadOnlyList<TxgRecord> History()
    {
        long open = Katomic.Load(ref _openTxg);
        for (long txg = Katomic.Load(ref _syncedTxg) + 1; txg <= open; txg++)
        {
            _history.SetDirty(txg, _throttle.TxgCharged(txg));
        }

        return _history.Snapshot();
    }

    /// <summary>txg_hold_open: joins the open txg and keeps tc_open_lock.</summary>
    internal long HoldOpen(int cpu)
    {
        TxgCpu c = _cpus[cpu];
        c.OpenLock.Enter();
        long txg = Katomic.Load(ref _openTxg);
        c.Lock.Enter();
        c.Count[txg & TxgMask]++;
        c.Lock.Exit();
        return txg;
    }

    /// <summary>txg_rele_to_quiesce: the assignment is complete, the txg may close.</summary>
    internal void ReleaseToQuiesce(int cpu) => _cpus[cpu].OpenLock.Exit();

    /// <summary>txg_rele_to_sync: the transaction has ended.</summary>
    /// <param name="cpu">The virtual CPU it was counted on.</param>
    /// <param name="txg">Its txg.</param>
    /// <param name="touched">It may have changed something.</param>
    internal void ReleaseToSync(int cpu, long txg, bool touched)
    {
        TxgCpu c = _cpus[cpu];
        long slot = txg & TxgMask;
        c.Lock.Enter();
        if (c.Count[slot] < 1)
        {
            c.Lock.Exit();
            throw new InvalidOperationException($"txg {txg} is released more often than held on cpu {cpu}");
        }

        if (touched)
        {
            Katomic.Store(ref c.Touched[slot], 1);
        }

        if (--c.Count[slot] == 0)
        {
            c.Drained[slot].Broadcast();
        }

        c.Lock.Exit();
        if (touched)
        {
            WakeIdleSync();
        }
    }

    internal void CountHoldRestart() => Katomic.Increment(ref _holdRestarts);

    internal void CountSpaceRestart() => Katomic.Increment(ref _spaceRestarts);

    /// <summary>Adds every thread with a transaction in a txg up to this one that is not synced yet.</summary>
    internal void CollectHolders(long maxTxg, ICollection<Kthread> owners) => TxThreadState.CollectHolders(this, maxTxg, owners);

    /// <summary>Adds whoever must act before a txg is on stable storage.</summary>
    internal void CollectSyncOwners(long txg, ICollection<Kthread> owners)
    {
        CollectHolders(txg, owners);
        long taken = Katomic.Load(ref _syncingTxg);
        if (taken < txg && Katomic.Load(ref _quiescedTxg) < txg)
        {
            AddQuiesceThread(owners);
        }

        AddSyncThread(owners);
    }

    internal void AddQuiesceThread(ICollection<Kthread> owners)
    {
        if (_quiesceThread is { } t)
        {
            owners.Add(t);
        }
    }

    internal void AddSyncThread(ICollection<Kthread> owners)
    {
        if (_syncThread is { } t)
        {
            owners.Add(t);
        }
    }

    /// <summary>The last txg that must sync before dirty data can be below the limit; 0: it is.</summary>
    internal long LastTxgToSyncForSpace() => _throttle.LastTxgToSync(Katomic.Load(ref _syncedTxg), Katomic.Load(ref _openTxg));

    /// <summary>Throws if the calling thread must never wait for a txg.</summary>
    internal void RequireMayWait()
    {
        ThreadFlags flags = Kthread.Current.Flags;
        bool inReclaim = (flags & ThreadFlags.InReclaim) != 0;
        if ((flags & ThreadFlags.SyncPath) != 0 && (!inReclaim || Policy == KmemPolicy.Fstrans))
        {
            throw new InvalidOperationException($"{Kthread.Current} is on the sync path and may not wait for a txg");
        }

        if (inReclaim && Policy == KmemPolicy.Fstrans)
        {
            throw new InvalidOperationException($"{Kthread.Current} is in reclaim and may not wait for a txg under policy fstrans");
        }
    }

    private void RequireRunning()
    {
        if (!_running)
        {
            _syncLock.Exit();
            throw new InvalidOperationException("the txg engine is not running");
        }
    }

    private void RequireAlive(ulong txg)
    {
        if ((long)txg <= Katomic.Load(ref _syncedTxg) || (long)txg > Katomic.Load(ref _openTxg))
        {
            throw new InvalidOperationException($"txg {txg} is not alive: synced {SyncedTxg}, open {OpenTxg}");
        }
    }

    private void WakeIdleSync()
    {
        if (Katomic.Load(ref _syncIdle) != 0)
        {
            _syncLock.Enter();
            _syncMore.Broadcast();
            _syncLock.Exit();
        }
    }
}
