namespace ZfsLite.Kmem.Spl;

/// <summary>
/// The deterministic simulator. <see cref="Run"/> runs a body and all threads that it starts one at a time; at every
/// scheduling point (an atomic, a lock taken, a park, a wake-up, a thread's start and end) a seeded generator says who runs
/// next. Time is virtual: it moves a little with each step and jumps to the earliest deadline when nobody can run. Nobody can
/// run and no deadline is left: a deadlock. The same options give the same run, step by step.
/// <para>
/// Real threads carry the simulated ones (a managed stack can't be switched), exactly one of which is awake: it holds the
/// baton, and passes it on by a futex. When a run ends, whatever the reason, every thread still alive is woken once with a
/// <see cref="SimAbortException"/> from where it waits, so that its finally blocks run; while that goes on nothing blocks,
/// and locks forgive being released by one that doesn't hold them. Locks in statics notice that a new run has begun and are
/// free again; other statics are cleared by hooks (<see cref="OnReset"/>). State of a thread belongs on its
/// <see cref="Kthread"/>: thread statics outlive the run with the pooled thread.
/// </para>
/// </summary>
public static unsafe class SimWorld
{
    private static readonly object s_oneRun = new();
    private static readonly List<Action> s_reset = [];

    /// <summary>True in a thread of a run (and while one goes on).</summary>
    public static bool IsRunning => SimBackend.Run is not null;

    /// <summary>How many operating system threads the simulator keeps.</summary>
    public static int PooledThreads => SimWorker.Count;

    /// <summary>Registers a hook that clears static state; called before and after every run, by its caller. Idempotent and quick.</summary>
    public static void OnReset(Action hook)
    {
        lock (s_reset)
        {
            s_reset.Add(hook);
        }
    }

    /// <summary>Mixes a value into the trace hash of the current run: makes a result part of what must replay.</summary>
    public static void Trace(long value) => SimBackend.Run?.Mix((ulong)value);

    /// <summary>
    /// Makes every thread that is blocked now write down its stack (<see cref="Kthread.WaitStack"/>), without otherwise changing
    /// the run: for a watchdog inside it. Does nothing outside a run.
    /// </summary>
    public static void RecordStacks() => SimBackend.Run?.RecordStacks();

    /// <summary>Runs <paramref name="main"/> as thread "main" of a fresh world; returns when the world has ended and is clean.</summary>
    public static SimResult Run(SimOptions options, Action main)
    {
        if (!SplPlatform.IsSimulated)
        {
            throw new InvalidOperationException("the process runs on the OS back end: set ZFSLITE_SPL=sim");
        }

        if (Kthread.Current.SimState is not null)
        {
            throw new InvalidOperationException("simulated runs do not nest");
        }

        lock (s_oneRun)
        {
            Reset();
            Kthread.WorldState outside = Kthread.EnterWorld();
            SimBackend.Epoch++;
            int* done = stackalloc int[1];
            *done = 0;
            var run = new SimRun(options, done);
            ulong[]? affinity = SimCpu.PinCaller();
            SimBackend.Run = run;
            try
            {
                run.Begin(main);
                SimWorker.Await(done);
                return run.Result();
            }
            finally
            {
                SimCpu.Restore(affinity);
                SimBackend.Run = null;
                SimBackend.Epoch++;
                Kthread.LeaveWorld(outside);
                Reset();
            }
        }
    }

    private static void Reset()
    {
        Action[] hooks;
        lock (s_reset)
        {
            hooks = [.. s_reset];
        }

        foreach (Action hook in hooks)
        {
            hook();
        }
    }
}
