using System.Runtime.CompilerServices;

namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A thread of the small kernel. A Kthread carries its marks (<see cref="Flags"/>), the locks it holds and, while blocked,
/// the record of what it waits for. A thread that was not started here (a test's main thread) is adopted at first use.
/// </summary>
public sealed class Kthread
{
    private const int MaxHeldLocks = 48;

    [ThreadStatic]
    private static Kthread? t_current;

    private static readonly object s_allLock = new();
    private static readonly List<Kthread> s_all = [];
    private static int s_nextId;

    private readonly object _parkLock = new();
    private bool _permit;
    private readonly IWaitable?[] _held = new IWaitable?[MaxHeldLocks];
    private int _heldCount;
    private Action? _body;
    private bool _exited;
    private readonly JoinWait _joinWait;

    /// <summary>Next in the one queue this thread may be in (mutex, rwlock or condition variable).</summary>
    internal Kthread? NextWaiter;

    /// <summary>True while in such a queue; guarded by that queue's lock.</summary>
    internal bool InWaitQueue;

    /// <summary>What kind of access a queued rwlock waiter wants.</summary>
    internal bool WantsWrite;

    /// <summary>State of the simulator for this thread; null on the OS back end.</summary>
    internal object? SimState;

    private Kthread(string name)
    {
        Name = name;
        Id = Interlocked.Increment(ref s_nextId);
        Cpu = Id % CpuCount;
        _joinWait = new JoinWait(this);
    }

    /// <summary>Virtual CPUs: what per-CPU structures are sized by. At least 2.</summary>
    public static int CpuCount { get; } = SplPlatform.IsSimulated ? 4 : Math.Clamp(Environment.ProcessorCount, 2, 16);

    /// <summary>The calling thread.</summary>
    public static Kthread Current
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => t_current ?? Adopt();
    }

    /// <summary>Name, for reports.</summary>
    public string Name { get; }

    /// <summary>Number of the thread, from 1, in order of creation.</summary>
    public int Id { get; }

    /// <summary>The virtual CPU, fixed for life.</summary>
    public int Cpu { get; }

    /// <summary>Marks of this thread. Written by the thread itself only.</summary>
    public ThreadFlags Flags;

    /// <summary>What the thread is blocked on, or null while it runs.</summary>
    public IWaitable? WaitingFor { get; private set; }

    /// <summary>Since when it has been blocked, <see cref="Kclock.NowNs"/>.</summary>
    public long WaitSinceNs { get; private set; }

    /// <summary>The managed stack of a wait that turned slow, recorded by the thread itself; null otherwise.</summary>
    public string? WaitStack { get; private set; }

    /// <summary>After how many nanoseconds a wait is slow and records its own stack. Default 1 s.</summary>
    public static long SlowWaitNs { get; set; } = 1_000_000_000;

    /// <summary>An object the transaction layer hangs on the thread: the assigned transactions it holds.</summary>
    public object? TxState { get; set; }

    /// <summary>Starts a thread.</summary>
    public static Kthread Start(string name, Action body)
    {
        var thread = new Kthread(name) { _body = body };
        lock (s_allLock)
        {
            s_all.Add(thread);
        }

        if (SplPlatform.IsSimulated)
        {
            SimBackend.Start(thread);
        }
        else
        {
            var os = new Thread(static o => ((Kthread)o!).Run(), 1 << 20) { IsBackground = true, Name = name };
            os.Start(thread);
        }

        return thread;
    }

    /// <summary>All living threads, adopted ones included: a snapshot.</summary>
    public static Kthread[] All()
    {
        lock (s_allLock)
        {
            return [.. s_all];
        }
    }

    /// <summary>Waits until the thread has ended.</summary>
    public void Join()
    {
        _joinWait.Mutex.Enter();
        while (!_exited)
        {
            _joinWait.Cv.Wait(_joinWait.Mutex, _joinWait);
        }

        _joinWait.Mutex.Exit();
    }

    /// <summary>Sleeps for a number of nanoseconds.</summary>
    public static void Sleep(long ns)
    {
        Kthread self = Current;
        long deadline = Kclock.NowNs + ns;
        while (Kclock.NowNs < deadline)
        {
            self.ParkUntil(deadline, SleepWait.Instance);
        }
    }

    /// <summary>Lets another thread run.</summary>
    public static void Yield()
    {
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
        }
        else
        {
            Thread.Yield();
        }
    }

    /// <summary>The locks the thread holds now, oldest first: a racy snapshot for reports.</summary>
    public IEnumerable<IWaitable> HeldLocks()
    {
        int n = Math.Min(_heldCount, MaxHeldLocks);
        for (int i = 0; i < n; i++)
        {
            if (_held[i] is { } w)
            {
                yield return w;
            }
        }
    }

    /// <summary>True if the thread holds this lock.</summary>
    public bool Holds(IWaitable w)
    {
        for (int i = _heldCount - 1; i >= 0; i--)
        {
            if (ReferenceEquals(_held[i], w))
            {
                return true;
            }
        }

        return false;
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Name}#{Id}";

    internal void PushHeld(IWaitable w)
    {
        if (_heldCount >= MaxHeldLocks)
        {
            throw new InvalidOperationException($"thread {this} holds more than {MaxHeldLocks} locks");
        }

        _held[_heldCount++] = w;
    }

    internal void PopHeld(IWaitable w)
    {
        for (int i = _heldCount - 1; i >= 0; i--)
        {
            if (ReferenceEquals(_held[i], w))
            {
                _heldCount--;
                for (int j = i; j < _heldCount; j++)
                {
                    _held[j] = _held[j + 1];
                }

                _held[_heldCount] = null;
                return;
            }
        }

        throw new InvalidOperationException($"thread {this} releases {w.WaitName}, which it does not hold");
    }

    /// <summary>Blocks until unparked (or spuriously); publishes what is waited for.</summary>
    internal void Park(IWaitable what) => ParkUntil(long.MaxValue, what);

    /// <summary>As <see cref="Park"/>, until a deadline of <see cref="Kclock.NowNs"/>. False when the deadline has passed.</summary>
    internal bool ParkUntil(long deadlineNs, IWaitable what)
    {
        if (WaitingFor is null)
        {
            WaitSinceNs = Kclock.NowNs;
        }

        WaitingFor = what;
        bool woken = SplPlatform.IsSimulated ? SimBackend.Park(this, deadlineNs) : ParkOs(deadlineNs);
        WaitingFor = null;
        WaitStack = null;
        return woken;
    }

    /// <summary>Lets a parked thread go on, or makes its next park return at once.</summary>
    internal void Unpark()
    {
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Unpark(this);
            return;
        }

        lock (_parkLock)
        {
            _permit = true;
            Monitor.Pulse(_parkLock);
        }
    }

    internal void RecordWaitStack() => WaitStack = Environment.StackTrace;

    /// <summary>Body of the OS or simulated thread.</summary>
    internal void Run()
    {
        t_current = this;
        try
        {
            _body!();
        }
        finally
        {
            lock (s_allLock)
            {
                s_all.Remove(this);
            }

            _joinWait.Mutex.Enter();
            _exited = true;
            _joinWait.Cv.Broadcast();
            _joinWait.Mutex.Exit();
            t_current = null;
        }
    }

    private static Kthread Adopt()
    {
        var thread = new Kthread(Thread.CurrentThread.Name ?? "main");
        lock (s_allLock)
        {
            s_all.Add(thread);
        }

        t_current = thread;
        return thread;
    }

    private bool ParkOs(long deadlineNs)
    {
        lock (_parkLock)
        {
            while (!_permit)
            {
                long now = Kclock.NowNs;
                long waited = now - WaitSinceNs;
                long untilSlow = WaitStack is null ? SlowWaitNs - waited : long.MaxValue;
                if (untilSlow <= 0)
                {
                    RecordWaitStack();
                    continue;
                }

                long left = Math.Min(deadlineNs == long.MaxValue ? long.MaxValue : deadlineNs - now, untilSlow);
                if (deadlineNs - now <= 0)
                {
                    return false;
                }

                if (left == long.MaxValue)
                {
                    Monitor.Wait(_parkLock);
                }
                else
                {
                    Monitor.Wait(_parkLock, (int)Math.Min(int.MaxValue, (left / 1_000_000) + 1));
                }
            }

            _permit = false;
            return true;
        }
    }

    private sealed class SleepWait : IWaitable
    {
        internal static readonly SleepWait Instance = new();

        public string WaitName => "sleep";

        public void CollectOwners(ICollection<Kthread> owners)
        {
        }
    }

    private sealed class JoinWait(Kthread thread) : IWaitable
    {
        internal readonly Kmutex Mutex = new("kthread_join");
        internal readonly Kcondvar Cv = new("kthread_join");

        public string WaitName => $"end of thread {thread}";

        public void CollectOwners(ICollection<Kthread> owners) => owners.Add(thread);
    }
}
