namespace ZfsLite.Kmem.Spl;

/// <summary>The simulator's state of one <see cref="Kthread"/>.</summary>
internal sealed class SimThread(SimRun run, Kthread thread)
{
    internal const long NoDeadline = long.MaxValue;

    internal readonly SimRun Run = run;
    internal readonly Kthread Thread = thread;

    /// <summary>The OS thread under it; null until it first runs.</summary>
    internal SimWorker? Worker;

    /// <summary>Place in the list of runnable threads, or -1.</summary>
    internal int RunIndex = -1;

    /// <summary>PCT priority; the highest runs.</summary>
    internal long Priority;

    /// <summary>Until when it is parked.</summary>
    internal long DeadlineNs = NoDeadline;

    /// <summary>A wake-up that came while it was not parked.</summary>
    internal bool Permit;
    internal bool Parked;
    internal bool Woken;
    internal bool Done;

    /// <summary>Has been told that the run has ended.</summary>
    internal bool Unwinding;

    /// <summary>Points passed while unwinding: bounded.</summary>
    internal int UnwindSteps;
}
