namespace ZfsLite.Kmem.Spl;

/// <summary>What <see cref="Taskq.Cancel"/> did.</summary>
public enum TaskqCancel
{
    /// <summary>The entry was queued and won't run.</summary>
    Cancelled,

    /// <summary>The entry was neither queued nor running: it has run, or was never dispatched (ENOENT).</summary>
    NotFound,

    /// <summary>The entry was running; it has ended now (EBUSY).</summary>
    WasRunning,
}
