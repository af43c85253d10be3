using System.Runtime.CompilerServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>
/// Dirty bytes by txg, and the brake on the writers that make them. Below 60 % of the limit writers run free. From there to
/// the limit each transaction is delayed by scale * (dirty - min) / (max - dirty), at most 100 ms, and the wake-ups are
/// spaced by the same time, so that N writers together make N delays' worth of progress, not one. At the limit a writer
/// waits until the sync thread has written something. The curve has its pole at the limit, so the wait is rarely met.
/// </summary>
internal sealed class WriteThrottle
{
    private readonly TxgEngine _engine;

    // dp_lock: guards the dirty counts. Nothing is taken under it.
    private readonly Kmutex _lock = new("dp_lock");
    private readonly Kcondvar _spaceAvailable = new("dp_spaceavail_cv");
    private readonly long[] _perTxg = new long[TxgEngine.TxgSize];
    private readonly long[] _charged = new long[TxgEngine.TxgSize];
    private readonly DirtySpaceWait _spaceWait;
    private long _total;

    // Guards the time of the last wake-up. Nothing is taken under it.
    private readonly Kmutex _delayLock = new("dmu_tx_delay");
    private readonly Kcondvar _delayCv = new("dmu_tx_delay");
    private readonly IdleWait _delayWait = new("write throttle delay");
    private long _lastWakeupNs;
    private long _delays;
    private long _delayedNs;
    private long _hardWaits;
    private long _excessBytes;

    internal WriteThrottle(TxgEngine engine, TxgOptions options, long maxBytes)
    {
        _engine = engine;
        MaxBytes = maxBytes;
        DelayMinBytes = maxBytes / 100 * options.DelayMinDirtyPercent;
        KickBytes = maxBytes / 100 * options.DirtySyncPercent;
        ScaleNs = options.DelayScaleNs;
        DelayMaxNs = options.DelayMaxNs;
        _spaceWait = new DirtySpaceWait(engine);
    }

    internal long MaxBytes { get; }

    internal long DelayMinBytes { get; }

    internal long KickBytes { get; }

    internal long ScaleNs { get; }

    internal long DelayMaxNs { get; }

    internal long TotalBytes => Katomic.Load(ref _total);

    internal long Delays => Katomic.Load(ref _delays);

    internal long DelayedNs => Katomic.Load(ref _delayedNs);

    internal long HardWaits => Katomic.Load(ref _hardWaits);

    internal long ExcessBytes => Katomic.Load(ref _excessBytes);

    internal bool NeedsDelay => TotalBytes > DelayMinBytes;

    internal long TxgBytes(long txg) => Katomic.Load(ref _perTxg[txg & TxgEngine.TxgMask]);

    internal long TxgCharged(long txg) => Katomic.Load(ref _charged[txg & TxgEngine.TxgMask]);

    /// <summary>The delay for an amount of dirty data, nanoseconds.</summary>
    internal long DelayNs(long dirty)
    {
        if (dirty <= DelayMinBytes)
        {
            return 0;
        }

        if (dirty >= MaxBytes)
        {
            return DelayMaxNs;
        }

        Int128 t = (Int128)ScaleNs * (dirty - DelayMinBytes) / (MaxBytes - dirty);
        return t > DelayMaxNs ? DelayMaxNs : (long)t;
    }

    /// <summary>Charges bytes; true if the txg has just passed the share at which it is pushed out.</summary>
    internal bool Dirty(long bytes, long txg)
    {
        long slot = txg & TxgEngine.TxgMask;
        _lock.Enter();
        long before = _perTxg[slot];
        Katomic.Store(ref _perTxg[slot], before + bytes);
        Katomic.Store(ref _charged[slot], _charged[slot] + bytes);
        Katomic.Store(ref _total, _total + bytes);
        _lock.Exit();
        return before < KickBytes && before + bytes >= KickBytes;
    }

    /// <summary>Gives bytes back. More than the txg is charged with is counted as excess, not given.</summary>
    internal void Undirty(long bytes, long txg)
    {
        long slot = txg & TxgEngine.TxgMask;
        _lock.Enter();
        long given = Math.Min(bytes, _perTxg[slot]);
        _excessBytes += bytes - given;
        Katomic.Store(ref _perTxg[slot], _perTxg[slot] - given);
        Katomic.Store(ref _total, _total - given);
        if (_total < MaxBytes)
        {
            _spaceAvailable.Broadcast();
        }

        _lock.Exit();
    }

    /// <summary>A txg has been written: what is left of its charge goes, and its slot is free.</summary>
    /// <returns>Bytes ever charged to it.</returns>
    internal long Finish(long txg)
    {
        long slot = txg & TxgEngine.TxgMask;
        Undirty(TxgBytes(txg), txg);
        _lock.Enter();
        long charged = _charged[slot];
        Katomic.Store(ref _charged[slot], 0);
        _lock.Exit();
        return charged;
    }

    /// <summary>The wait of a transaction that met too much dirty data: first below the limit, then the delay.</summary>
    /// <param name="startNs">When the transaction was created: time it has spent already counts.</param>
    [MethodImpl(MethodImplOptions.NoInlining)] // A stack in a report shall name it.
    internal void WaitAndDelay(long startNs)
    {
        _lock.Enter();
        if (_total >= MaxBytes)
        {
            _hardWaits++;
            _lock.Exit();
            _engine.Kick();
            _lock.Enter();
        }

        while (_total >= MaxBytes)
        {
            _spaceAvailable.Wait(_lock, _spaceWait);
        }

        long dirty = _total;
        _lock.Exit();
        Delay(dirty, startNs);
    }

    /// <summary>
    /// The first txg whose sync is needed to fall below the limit: even with every older one written, the rest would be too
    /// much. Returns the last such txg, 0 if there is room.
    /// </summary>
    internal long LastTxgToSync(long synced, long open)
    {
        long total = TotalBytes;
        long needed = 0;
        for (long txg = synced + 1; txg <= open && total >= MaxBytes; txg++)
        {
            if (TxgBytes(txg) > 0)
            {
                needed = txg;
            }

            total -= TxgBytes(txg);
        }

        return needed;
    }

    private void Delay(long dirty, long startNs)
    {
        long delay = DelayNs(dirty);
        if (delay == 0 || Kclock.NowNs > startNs + delay)
        {
            return;
        }

        _delayLock.Enter();
        long wakeup = Math.Max(startNs + delay, _lastWakeupNs + delay);
        _lastWakeupNs = wakeup;
        _delays++;
        long begin = Kclock.NowNs;
        while (Kclock.NowNs < wakeup)
        {
            _delayCv.WaitUntil(_delayLock, wakeup, _delayWait);
        }

        _delayedNs += Kclock.NowNs - begin;
        _delayLock.Exit();
    }
}
