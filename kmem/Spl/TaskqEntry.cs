namespace ZfsLite.Kmem.Spl;

/// <summary>One piece of work for a <see cref="Taskq"/> (taskq_ent_t). Preallocated by its owner, so dispatching can't fail.</summary>
public abstract class TaskqEntry
{
    internal TaskqEntry? Next;
    internal long DueNs;
    internal bool Delayed;
    internal bool Queued;

    /// <summary>Number of the last dispatch, rising within a queue; 0 before the first.</summary>
    public long Id { get; internal set; }

    /// <summary>Does the work, in a thread of the queue. The entry may be dispatched again from here on.</summary>
    protected internal abstract void Run();
}
