using System.Runtime.CompilerServices;

namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A thread of the small kernel. A Kthread carries its marks (<see cref="Flags"/>), the locks it holds and, while blocked,
/// the record of what it waits for. A thread that was not started here (a test's main thread) is adopted at first use.
/// State of a thread belongs here, never in thread statics: the simulator reuses its operating system threads.
/// </summary>
public sealed partial class Kthread
{
    [ThreadStatic]
    private static Kthread? t_current;

    private static readonly object s_allLock = new();
    private static List<Kthread> s_all = [];
    private static int s_nextId;

    private readonly JoinWait _joinWait;
    private Action? _body;
    private bool _exited;
    private Thread? _adoptedFrom;

    /// <summary>Next in the one queue this thread may be in (mutex, rwlock or condition variable).</summary>
    internal Kthread? NextWaiter;

    /// <summary>True while in such a queue; guarded by that queue's lock.</summary>
    internal bool InWaitQueue;

    /// <summary>What kind of access a queued rwlock waiter wants.</summary>
    internal bool WantsWrite;

    /// <summary>State of the simulator for this thread; null on the OS back end.</summary>
    internal object? SimState;

    /// <summary>A wake-up that came outside a simulated run.</summary>
    internal bool SimPermit;

    private Kthread(string name)
    {
        Name = name;
        Id = Interlocked.Increment(ref s_nextId);
        Cpu = Id % CpuCount;
        _joinWait = new JoinWait(this);
        InitPark();
    }

    /// <summary>Virtual CPUs: what per-CPU structures are sized by. At least 2.</summary>
    public static int CpuCount { get; } = SplPlatform.IsSimulated ? 4 : Math.Clamp(Environment.ProcessorCount, 2, 16);

    /// <summary>The calling thread.</summary>
    public static Kthread Current
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => t_current ?? Adopt();
    }

    /// <summary>
    /// Called in a thread whose body threw, on the OS back end. Null (the default): the exception is printed and the process
    /// aborted, since a thread that died may have left locks held. In the simulator the run fails instead.
    /// </summary>
    public static Action<Kthread, Exception>? UnhandledException { get; set; }

    /// <summary>Name, for reports.</summary>
    public string Name { get; }

    /// <summary>Number of the thread, from 1, in order of creation.</summary>
    public int Id { get; }

    /// <summary>The virtual CPU, fixed for life.</summary>
    public int Cpu { get; }

    /// <summary>Marks of this thread. Written by the thread itself only.</summary>
    public ThreadFlags Flags;

    /// <summary>1 while the thread is in a queue of a slab cache that leans towards it. Written by the thread itself only.</summary>
    internal int InQueue;

    /// <summary>An object the memory layer hangs on the thread.</summary>
    public object? KmemState { get; set; }

    /// <summary>An object the transaction layer hangs on the thread: the assigned transactions it holds.</summary>
    public object? TxState { get; set; }

    /// <summary>An object the file system layer hangs on the thread.</summary>
    public object? FsState { get; set; }

    /// <summary>Starts a thread.</summary>
    public static Kthread Start(string name, Action body)
    {
        Kthread thread = Create(name, body);
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Start(thread);
        }
        else
        {
            var os = new Thread(static o => ((Kthread)o!).RunOs(), 1 << 20) { IsBackground = true, Name = name };
            os.Start(thread);
        }

        return thread;
    }

    /// <summary>All living threads, adopted ones included, in order of creation: a snapshot.</summary>
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
        self.BeforeBlock?.Invoke();
        long deadline = Kclock.NowNs + ns;
        while (Kclock.NowNs < deadline)
        {
            self.ParkUntil(deadline, s_sleep);
        }
    }

    /// <summary>Lets another thread run.</summary>
    public static void Yield()
    {
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Yield();
        }
        else
        {
            Thread.Yield();
        }
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Name}#{Id}";

    /// <summary>Makes a thread and puts it on record, without starting it.</summary>
    internal static Kthread Create(string name, Action body)
    {
        var thread = new Kthread(name) { _body = body };
        lock (s_allLock)
        {
            s_all.Add(thread);
        }

        return thread;
    }

    /// <summary>Takes an ended thread off the record.</summary>
    internal static void Forget(Kthread thread)
    {
        lock (s_allLock)
        {
            s_all.Remove(thread);
        }
    }

    /// <summary>The body has returned.</summary>
    internal bool HasEnded => _exited;

    internal static void ClearCurrent() => t_current = null;

    /// <summary>Puts the threads of the process aside: a simulated run numbers its own from 1.</summary>
    internal static WorldState EnterWorld()
    {
        lock (s_allLock)
        {
            var saved = new WorldState(s_all, s_nextId);
            s_all = [];
            s_nextId = 0;
            return saved;
        }
    }

    internal static void LeaveWorld(WorldState saved)
    {
        lock (s_allLock)
        {
            s_all = saved.Threads;
            s_nextId = saved.NextId;
        }
    }

    /// <summary>Body of a simulated thread.</summary>
    internal void RunSimulated()
    {
        t_current = this;
        _body!();
        Finish();
    }

    private void RunOs()
    {
        t_current = this;
        Futex.SetExactTimers();
        try
        {
            _body!();
        }
        catch (Exception e)
        {
            if (UnhandledException is { } hook)
            {
                hook(this, e);
            }
            else
            {
                Environment.FailFast($"unhandled exception in thread {this}", e);
            }
        }

        Finish();
        t_current = null;
    }

    private void Finish()
    {
        EndTsd();
        _joinWait.Mutex.Enter();
        _exited = true;
        Forget(this);
        _joinWait.Cv.Broadcast();
        _joinWait.Mutex.Exit();
    }

    private static Kthread Adopt()
    {
        var thread = new Kthread(Thread.CurrentThread.Name ?? "main") { _adoptedFrom = Thread.CurrentThread };
        lock (s_allLock)
        {
            s_all.RemoveAll(static t => t._adoptedFrom is { IsAlive: false });
            s_all.Add(thread);
        }

        t_current = thread;
        return thread;
    }

    internal readonly record struct WorldState(List<Kthread> Threads, int NextId);

    private sealed class JoinWait(Kthread thread) : IWaitable
    {
        internal readonly Kmutex Mutex = new("kthread_join");
        internal readonly Kcondvar Cv = new("kthread_join");

        public string WaitName => $"end of thread {thread}";

        public bool IsIdle => true;

        public void CollectOwners(ICollection<Kthread> owners) => owners.Add(thread);
    }
}
