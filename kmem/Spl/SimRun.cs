namespace ZfsLite.Kmem.Spl;

/// <summary>
/// One run of the simulator: who is runnable, the virtual clock, the schedule. Only the holder of the baton touches it, so it
/// needs no lock.
/// </summary>
internal sealed unsafe class SimRun
{
    private const int UnwindStepsMax = 100_000;

    private readonly SimOptions _options;
    private readonly int* _done;
    private readonly SimSchedule _schedule;
    private readonly List<SimThread> _live = [];
    private readonly List<SimThread> _timers = [];
    private SplRandom _random;
    private SimThread _current = null!;
    private SimThread? _main;
    private SimThread? _reporter;
    private long _nextDeadline = SimThread.NoDeadline;
    private long _steps;
    private ulong _hash = 0xCBF29CE484222325;
    private SimOutcome _outcome;
    private Exception? _failure;
    private string? _failedThread;
    private IReadOnlyList<SimBlocked> _blocked = [];
    private IReadOnlyList<string> _leftover = [];
    private bool _reporting;
    private bool _stackRequest;

    internal SimRun(SimOptions options, int* done)
    {
        _options = options;
        _done = done;
        _schedule = new SimSchedule(options);
        _random = new SplRandom(options.Seed ^ 0xD1B54A32D192ED03);
    }

    internal bool Aborting { get; private set; }

    internal long NowNs { get; private set; }

    internal ulong NextRandom() => _random.Next();

    internal void Mix(ulong value)
    {
        _hash = (_hash ^ value) * 0x100000001B3;
        _hash ^= _hash >> 29;
    }

    internal SimResult Result() => new()
    {
        Outcome = _outcome,
        Options = _options,
        Steps = _steps,
        TraceHash = _hash,
        EndTimeNs = NowNs,
        Failure = _failure,
        FailedThread = _failedThread,
        Blocked = _blocked,
        Leftover = _leftover,
    };

    /// <summary>Makes the main thread and gives it the baton. The caller then waits for the run's end.</summary>
    internal void Begin(Action main)
    {
        Kthread thread = Kthread.Create("main", main);
        _main = Add(thread);
        _current = _main;
        Resume(_main);
    }

    internal void Start(Kthread thread)
    {
        if (Aborting)
        {
            throw new SimAbortException();
        }

        Add(thread);
        Mix(0x51 + ((ulong)thread.Id << 8));
        Point();
    }

    /// <summary>A scheduling point: perhaps another thread runs first.</summary>
    internal void Point()
    {
        SimThread self = _current;
        if (Tick(self))
        {
            SimThread next = _schedule.AtPoint(self, _steps);
            if (!ReferenceEquals(next, self))
            {
                SwitchTo(self, next);
            }
        }
    }

    /// <summary>A scheduling point at which the thread would rather not go on.</summary>
    internal void Yield()
    {
        SimThread self = _current;
        if (Tick(self))
        {
            SimThread next = _schedule.AtYield(self);
            if (!ReferenceEquals(next, self))
            {
                SwitchTo(self, next);
            }
        }
    }

    /// <summary>Blocks the running thread. False if the deadline came first.</summary>
    internal bool Park(long deadlineNs)
    {
        SimThread self = _current;
        if (_reporting)
        {
            throw new InvalidOperationException("a deadlock hook may not block");
        }

        if (!Tick(self))
        {
            throw new SimAbortException();
        }

        if (self.Permit)
        {
            self.Permit = false;
            return true;
        }

        if (deadlineNs <= NowNs)
        {
            return false;
        }

        self.Parked = true;
        self.Woken = false;
        _schedule.Remove(self);
        self.DeadlineNs = deadlineNs;
        if (deadlineNs != SimThread.NoDeadline)
        {
            _timers.Add(self);
            _nextDeadline = Math.Min(_nextDeadline, deadlineNs);
        }

        if (NextRunnable() is not { } next)
        {
            End(SimOutcome.Deadlock);
            self.Unwinding = true;
            throw new SimAbortException();
        }

        if (!ReferenceEquals(next, self))
        {
            SwitchTo(self, next);
        }

        return self.Woken;
    }

    internal void ThrowIfAborting()
    {
        if (Aborting)
        {
            Unwind(_current);
            throw new SimAbortException();
        }
    }

    internal void Unpark(Kthread thread)
    {
        if (Aborting || thread.SimState is not SimThread { Done: false } target)
        {
            return;
        }

        if (target.Parked)
        {
            target.Woken = true;
            MakeRunnable(target);
        }
        else
        {
            target.Permit = true;
        }

        Mix(0x52 + ((ulong)thread.Id << 8));
        Point();
    }

    /// <summary>Body of a worker for one simulated thread; ends by handing the baton on.</summary>
    internal void Execute(SimThread self)
    {
        Exception? failure = null;
        try
        {
            self.Thread.RunSimulated();
        }
        catch (SimAbortException) when (Aborting)
        {
        }
        catch (Exception e) when (!Aborting)
        {
            failure = e;
        }
        catch (Exception) when (Aborting)
        {
            // Whatever a thread throws while it is unwound has no meaning any more.
        }

        Leave(self, failure);
    }

    private void Leave(SimThread self, Exception? failure)
    {
        self.Done = true;
        _schedule.Remove(self);
        _live.Remove(self);
        Kthread.Forget(self.Thread);
        Mix(0x53 + ((ulong)self.Thread.Id << 8));
        if (failure is not null && !Aborting)
        {
            _failure = failure;
            _failedThread = self.Thread.ToString();
            End(SimOutcome.Failed);
        }

        if (ReferenceEquals(self, _main) && !Aborting)
        {
            End(SimOutcome.Completed);
        }

        SimThread? next = Aborting ? null : NextRunnable();
        if (next is null)
        {
            if (!Aborting)
            {
                End(SimOutcome.Deadlock);
            }

            next = NextToUnwind();
        }

        Kthread.ClearCurrent();
        self.Worker!.Release();
        if (next is null)
        {
            SimWorker.Give(_done);
            return;
        }

        _current = next;
        Resume(next);
    }

    private SimThread? NextToUnwind()
    {
        while (_live.Count > 0)
        {
            SimThread last = _live[^1];
            if (last.Worker is not null)
            {
                return last;
            }

            last.Done = true;
            _live.RemoveAt(_live.Count - 1);
        }

        return null;
    }

    private SimThread Add(Kthread thread)
    {
        var sim = new SimThread(this, thread);
        thread.SimState = sim;
        _live.Add(sim);
        _schedule.Enter(sim);
        return sim;
    }

    private static void Resume(SimThread thread)
    {
        thread.Worker ??= SimWorker.Take(thread);
        thread.Worker.Give();
    }

    /// <summary>Counts a step. False: the run has ended or is being reported, and nothing is scheduled.</summary>
    private bool Tick(SimThread self)
    {
        if (_reporting)
        {
            return false;
        }

        if (Aborting)
        {
            Unwind(self);
            return false;
        }

        _steps++;
        NowNs += _options.StepNs;
        if (_steps > _options.MaxSteps)
        {
            End(SimOutcome.StepLimit);
            self.Unwinding = true;
            throw new SimAbortException();
        }

        if (NowNs >= _nextDeadline)
        {
            Expire();
        }

        return true;
    }

    /// <summary>A point on the way out. A finally block may pass some; one that never ends is thrown out, one that swallows even that is fatal.</summary>
    private static void Unwind(SimThread self)
    {
        self.UnwindSteps++;
        if (self.UnwindSteps > 2 * UnwindStepsMax)
        {
            Environment.FailFast($"thread {self.Thread} goes on after the end of the simulated run: something catches SimAbortException");
        }

        if (self.UnwindSteps > UnwindStepsMax)
        {
            throw new SimAbortException();
        }
    }

    private SimThread? NextRunnable()
    {
        if (_schedule.Count == 0)
        {
            if (_nextDeadline == SimThread.NoDeadline || IsDeadlockByHook())
            {
                return null;
            }

            NowNs = Math.Max(NowNs, _nextDeadline);
            Mix((ulong)NowNs);
            Expire();
        }

        return _schedule.AtBlock();
    }

    private bool IsDeadlockByHook()
    {
        if (_options.OnIdle is not { } hook)
        {
            return false;
        }

        _reporting = true;
        bool dead = hook();
        _reporting = false;
        return dead;
    }

    private void Expire()
    {
        long next = SimThread.NoDeadline;
        for (int i = 0; i < _timers.Count; i++)
        {
            SimThread t = _timers[i];
            if (t.DeadlineNs <= NowNs)
            {
                _timers.RemoveAt(i--);
                t.Parked = false;
                t.DeadlineNs = SimThread.NoDeadline;
                _schedule.Enter(t);
            }
            else
            {
                next = Math.Min(next, t.DeadlineNs);
            }
        }

        _nextDeadline = next;
    }

    private void MakeRunnable(SimThread thread)
    {
        thread.Parked = false;
        if (thread.DeadlineNs != SimThread.NoDeadline)
        {
            thread.DeadlineNs = SimThread.NoDeadline;
            _timers.Remove(thread);
            long next = SimThread.NoDeadline;
            foreach (SimThread t in _timers)
            {
                next = Math.Min(next, t.DeadlineNs);
            }

            _nextDeadline = next;
        }

        _schedule.Enter(thread);
    }

    private void SwitchTo(SimThread self, SimThread next)
    {
        Mix(((ulong)next.Thread.Id << 32) + (ulong)_steps);
        _current = next;
        Resume(next);
        self.Worker!.Await();
        while (_stackRequest)
        {
            _stackRequest = false;
            self.Thread.RecordWaitStack();
            SimThread reporter = _reporter!;
            reporter.Worker!.Give();
            self.Worker.Await();
        }

        if (Aborting && !self.Unwinding)
        {
            self.Unwinding = true;
            throw new SimAbortException();
        }
    }

    /// <summary>Ends the run: reports, and from here on every thread is unwound.</summary>
    private void End(SimOutcome outcome)
    {
        _outcome = outcome;
        _reporting = true;
        try
        {
            if (outcome == SimOutcome.Completed)
            {
                _leftover = [.. _live.Where(static t => !t.Thread.HasEnded).Select(static t => t.Thread.ToString())];
            }
            else
            {
                Report(outcome);
            }
        }
        catch (Exception e)
        {
            _failure ??= e;
            _failedThread ??= "report";
            _outcome = SimOutcome.Failed;
        }
        finally
        {
            _reporting = false;
            Aborting = true;
        }
    }

    private void Report(SimOutcome outcome)
    {
        if (outcome == SimOutcome.Deadlock && _options.RecordStacks)
        {
            RecordStacks();
        }

        _blocked = SimReport.Blocked(_live);
        if (outcome == SimOutcome.Deadlock)
        {
            _options.OnDeadlock?.Invoke();
        }
    }

    /// <summary>Each blocked thread is woken just long enough to write down its own stack: nobody else can read it.</summary>
    internal void RecordStacks()
    {
        _reporter = _current;
        foreach (SimThread t in _live)
        {
            if (!t.Parked)
            {
                continue;
            }

            if (ReferenceEquals(t, _reporter))
            {
                t.Thread.RecordWaitStack();
            }
            else if (t.Worker is not null)
            {
                _stackRequest = true;
                t.Worker.Give();
                _reporter.Worker!.Await();
            }
        }
    }
}
