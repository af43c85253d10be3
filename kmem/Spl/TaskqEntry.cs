namespace ZfsLite.Kmem.Spl;

/// <summary>One piece of work for a <see cref="Taskq"/> (taskq_ent_t). Preallocated by its owner, so dispatching can't fail.</summary>
public abstract class TaskqEntry
{
    internal TaskqEntry? Next;
    internal bool Queued;

    /// <summary>Does the work, in a thread of the queue.</summary>
    protected internal abstract void Run();
}
