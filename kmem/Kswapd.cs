using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The background reclaimer: woken when free pages fall below low, works until they reach high. Its thread starts with the
/// first wake. When a pass gives nothing back it rests a moment, and after <see cref="MaxFailures"/> of those until the next wake.
/// </summary>
internal sealed class Kswapd : IWaitable
{
    private const int MaxFailures = 16;
    private const long RestNs = 10_000_000;

    private readonly KmemSystem _system;
    private readonly Kmutex _lock = new("kswapd");
    private readonly Kcondvar _wake = new("kswapd");
    private Kthread? _thread;
    private int _awake;
    private bool _stopping;

    internal Kswapd(KmemSystem system) => _system = system;

    /// <inheritdoc/>
    public string WaitName => "work for kswapd";

    /// <inheritdoc/>
    public bool IsIdle => true;

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
    }

    /// <summary>Has it work? A guess.</summary>
    internal bool IsAwake => Katomic.Load(ref _awake) != 0;

    /// <summary>Wakes it, if it sleeps. Never waits for it.</summary>
    internal void Wake()
    {
        if (Katomic.Load(ref _awake) != 0)
        {
            return;
        }

        _lock.Enter();
        if (_awake == 0 && !_stopping)
        {
            Katomic.Store(ref _awake, 1);
            Katomic.Increment(ref _system.Counters.KswapdWakes);
            _thread ??= Kthread.Start("kswapd", Run);
            _wake.Signal();
        }

        _lock.Exit();
    }

    /// <summary>Ends the thread.</summary>
    internal void Stop()
    {
        _lock.Enter();
        _stopping = true;
        Kthread? thread = _thread;
        _wake.Broadcast();
        _lock.Exit();
        thread?.Join();
    }

    private void Run()
    {
        Kthread self = Kthread.Current;
        self.Flags |= ThreadFlags.Kswapd | ThreadFlags.Memalloc | Fstrans.FlagsFor(_system.Policy);
        int failures = 0;
        _lock.Enter();
        while (!_stopping)
        {
            if (_awake == 0)
            {
                _wake.Wait(_lock, this);
                continue;
            }

            _lock.Exit();
            failures = _system.Reclaimer.Balance() > 0 ? 0 : failures + 1;
            _lock.Enter();
            if (_system.Pages.FreePages >= _system.Pages.Marks.High || failures >= MaxFailures)
            {
                failures = 0;
                Katomic.Store(ref _awake, 0);
            }
            else if (failures > 0)
            {
                _wake.WaitUntil(_lock, Kclock.NowNs + RestNs, this);
            }
        }

        _lock.Exit();
    }
}
