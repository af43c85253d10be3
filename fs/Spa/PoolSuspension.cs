using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// What a pool does when its devices fail it. Whoever writes the pool (the sync thread, its workers, the writer of the intent log) and gets an
/// error tries once more at once, and then waits here, with the I/O in its hands, until somebody says <see cref="Clear"/>: then it is tried
/// again. So nothing of what is dirty is lost and no code above knows of it. Changes go on until the dirty limit holds them up, syncs wait,
/// reads go on. <see cref="GiveUp"/> ends all waits for good: the I/O fails, and with it the pool, as of its last synced txg.
/// </summary>
/// <remarks>The mutex is a leaf. Waits are without limit, on record, and nobody in particular ends them.</remarks>
public sealed class PoolSuspension : IWaitable
{
    private const int TriedTwice = 1;
    private const int Cleared = 2;

    private static readonly IdleWait s_trying = new("I/O that is tried again");

    private readonly Kmutex _mutex = new("spa_suspend");
    private readonly Kcondvar _changed = new("spa_suspend");
    private long _round;
    private int _waiting;
    private int _retrying;
    private bool _waits;
    private bool _gaveUp;
    private long _graceNs = long.MaxValue;
    private long _sinceNs;
    private string? _reason;
    private string? _final;
    private long _sinceWallSeconds;
    private long _readErrors;
    private long _writeErrors;
    private long _flushErrors;

    /// <inheritdoc/>
    public string WaitName => $"zfslite clear: the pool is suspended ({_reason})";

    /// <summary>True while something waits for <see cref="Clear"/>.</summary>
    public bool IsSuspended => Katomic.Load(ref _waiting) > 0;

    /// <summary>The I/O that failed, and how; null while the pool is not suspended.</summary>
    public string? Reason => IsSuspended ? _reason : null;

    /// <summary>The last <see cref="Reason"/> there was.</summary>
    internal string? LastReason => _reason;

    /// <summary>Since when the pool has been suspended: seconds since 1970; 0: it is not.</summary>
    public long SinceSeconds => IsSuspended ? _sinceWallSeconds : 0;

    /// <summary>For how long it has been suspended, nanoseconds.</summary>
    public long AgeNs => IsSuspended ? Kclock.NowNs - _sinceNs : 0;

    /// <summary>Why <see cref="Clear"/> can't help; null: it may.</summary>
    public string? Final => IsSuspended ? _final : null;

    /// <summary>Reads, writes and flushes that failed since the pool was opened; those that went well at the second try count too.</summary>
    public (long Reads, long Writes, long Flushes) Errors =>
        (Katomic.Load(ref _readErrors), Katomic.Load(ref _writeErrors), Katomic.Load(ref _flushErrors));

    /// <summary>Called with a line of text when the pool is suspended and when it goes on. In the thread concerned; must not wait.</summary>
    public Action<string>? Changed { get; set; }

    /// <summary>From here on failures wait. Until then, while nobody could clear them, they are final.</summary>
    public void Enable()
    {
        _mutex.Enter();
        _waits = true;
        _mutex.Exit();
    }

    /// <summary>Whoever waits tries again. True if anybody did.</summary>
    public bool Clear()
    {
        _mutex.Enter();
        bool any = _waiting > 0;
        _retrying += _waiting;
        _waiting = 0;
        _round++;
        _changed.Broadcast();
        _mutex.Exit();
        return any;
    }

    /// <summary>Waits until everything that was cleared has gone well, or failed again. True: it went well. False: the pool is suspended again,
    /// or the time is over.</summary>
    public bool WaitCleared(long timeoutNs)
    {
        long deadline = Kclock.NowNs + timeoutNs;
        _mutex.Enter();
        while (_retrying > 0 && Kclock.NowNs < deadline)
        {
            _changed.WaitUntil(_mutex, deadline, s_trying);
        }

        bool good = _retrying == 0 && _waiting == 0;
        _mutex.Exit();
        return good;
    }

    /// <summary>The pool is being closed: a failure waits no longer than this, and then is final.</summary>
    public void Limit(long graceNs)
    {
        _mutex.Enter();
        _graceNs = graceNs;
        _changed.Broadcast();
        _mutex.Exit();
    }

    /// <summary>Ends all waits: what waits fails, and what fails later fails at once.</summary>
    public void GiveUp()
    {
        _mutex.Enter();
        _gaveUp = true;
        _changed.Broadcast();
        _mutex.Exit();
    }

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
    }

    internal void CountReadError() => Katomic.Increment(ref _readErrors);

    internal void CountWriteError() => Katomic.Increment(ref _writeErrors);

    internal void CountFlushError() => Katomic.Increment(ref _flushErrors);

    /// <summary>An I/O has failed that may. True: it is to be tried once more. False: it has failed.</summary>
    internal static bool TryOnceMore(ref int stage, string? final) => stage == 0 && final is null && (stage = TriedTwice) != 0;

    /// <summary>An I/O has failed. True: it is to be tried again. False: it has failed.</summary>
    /// <param name="stage">What became of it before; kept by the caller, 0 at first.</param>
    /// <param name="what">What was done to which device.</param>
    /// <param name="error">The errno.</param>
    /// <param name="final">Why it can't go well any more; null: it may.</param>
    internal bool TryAgain(ref int stage, string what, int error, string? final)
    {
        if (TryOnceMore(ref stage, final))
        {
            return true;
        }

        string? line = null;
        _mutex.Enter();
        if (stage == Cleared)
        {
            Retried();
        }

        if (!_waits || _gaveUp)
        {
            _mutex.Exit();
            return false;
        }

        if (_waiting == 0)
        {
            _reason = $"{what} failed: {ErrnoName.Of(error)}";
            _final = final;
            line = $"suspended: {_reason}";
            if (stage != Cleared)
            {
                _sinceNs = Kclock.NowNs;
                _sinceWallSeconds = Kclock.WallTime().Seconds;
            }
        }

        // Read without the mutex: the reason is there before.
        Katomic.Increment(ref _waiting);

        long round = _round;
        _mutex.Exit();
        if (line is not null)
        {
            Changed?.Invoke(line);
        }

        stage = Cleared;
        return WaitForClear(round);
    }

    /// <summary>It has gone well in the end.</summary>
    internal void Passed(int stage)
    {
        if (stage != Cleared)
        {
            return;
        }

        _mutex.Enter();
        Retried();
        bool resumed = _retrying == 0 && _waiting == 0;
        _mutex.Exit();
        if (resumed)
        {
            Changed?.Invoke("resumed");
        }
    }

    private bool WaitForClear(long round)
    {
        _mutex.Enter();
        while (_round == round && !_gaveUp)
        {
            if (_graceNs == long.MaxValue)
            {
                _changed.Wait(_mutex, this);
                continue;
            }

            long deadline = _sinceNs + _graceNs;
            if (Kclock.NowNs >= deadline)
            {
                _gaveUp = true;
                _changed.Broadcast();
                break;
            }

            _changed.WaitUntil(_mutex, deadline, this);
        }

        bool again = _round != round;
        if (!again)
        {
            _waiting--;
        }

        _mutex.Exit();
        return again;
    }

    // Under the mutex.
    private void Retried()
    {
        if (_retrying > 0 && --_retrying == 0)
        {
            _changed.Broadcast();
        }
    }
}
