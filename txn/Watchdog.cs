using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>
/// Looks at all threads now and then. A wait that has lasted too long is either part of a proven cycle, which is reported
/// once and for all, or merely slow, which is reported once per wait. Time alone is never called a deadlock.
/// </summary>
/// <remarks>
/// It allocates no arena memory and takes no lock of anybody else, so it works while everything else stands still. A wait
/// that names nobody who must end it (idle workers, sleeps, the throttle's delay) is nobody's fault and is never reported.
/// </remarks>
public sealed class Watchdog
{
    private const long MinuteNs = 60_000_000_000;

    private readonly WatchdogOptions _options;
    private readonly Kmutex _lock = new("watchdog");
    private readonly Kcondvar _cv = new("watchdog");
    private readonly IdleWait _idle = new("the next look of the watchdog (idle)");
    private readonly Dictionary<int, long> _reported = [];
    private Kthread? _thread;
    private bool _stopping;
    private bool _deadlockSeen;
    private long _minuteStartNs;
    private int _reportsThisMinute;

    /// <summary>Makes a watchdog; Start runs it.</summary>
    public Watchdog(WatchdogOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
    }

    /// <summary>Called once, in the watchdog's thread, when a deadlock is proven. No lock is held.</summary>
    public Action<DeadlockReport>? OnDeadlock { get; set; }

    /// <summary>Called for each slow wait, in the watchdog's thread. No lock is held.</summary>
    public Action<SlowWait>? OnSlowWait { get; set; }

    /// <summary>Starts the thread.</summary>
    public void Start()
    {
        if (_thread is not null)
        {
            throw new InvalidOperationException("the watchdog runs already");
        }

        _stopping = false;
        _thread = Kthread.Start("watchdog", Run);
    }

    /// <summary>Ends the thread.</summary>
    public void Stop()
    {
        if (_thread is null)
        {
            return;
        }

        _lock.Enter();
        _stopping = true;
        _cv.Broadcast();
        _lock.Exit();
        _thread.Join();
        _thread = null;
    }

    /// <summary>One look. Returns the report if a deadlock was proven.</summary>
    public DeadlockReport? Poll()
    {
        if (!WaitGraph.AnyWaitOlderThan(_options.LimitNs))
        {
            return null;
        }

        DeadlockReport? report = WaitGraph.Prove(_options.SettleNs, _options.MinCycleAgeNs);
        if (report is not null)
        {
            if (!_deadlockSeen)
            {
                _deadlockSeen = true;
                OnDeadlock?.Invoke(report);
            }

            return report;
        }

        ReportSlowWaits(WaitGraph.Capture());
        return null;
    }

    private void Run()
    {
        _lock.Enter();
        while (!_stopping)
        {
            long deadline = Kclock.NowNs + _options.IntervalNs;
            while (!_stopping && Kclock.NowNs < deadline)
            {
                _cv.WaitUntil(_lock, deadline, _idle);
            }

            if (!_stopping)
            {
                _lock.Exit();
                Poll();
                _lock.Enter();
            }
        }

        _lock.Exit();
    }

    private void ReportSlowWaits(WaitGraph graph)
    {
        foreach (int id in _reported.Keys.Except(graph.Nodes.Select(static n => n.Id)).ToArray())
        {
            _reported.Remove(id);
        }

        foreach (SlowWait wait in graph.SlowWaits(_options.LimitNs))
        {
            WaitNode node = wait.Thread;
            if (_reported.GetValueOrDefault(node.Id) == node.SinceNs || !MayReport(graph.CapturedNs))
            {
                continue;
            }

            _reported[node.Id] = node.SinceNs;
            OnSlowWait?.Invoke(wait);
        }
    }

    private bool MayReport(long now)
    {
        if (now - _minuteStartNs >= MinuteNs)
        {
            _minuteStartNs = now;
            _reportsThisMinute = 0;
        }

        return _reportsThisMinute++ < _options.SlowReportsPerMinute;
    }
}
