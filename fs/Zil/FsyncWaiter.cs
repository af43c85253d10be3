namespace ZfsLite.Fs;

/// <summary>
/// Who has asked for an fsync and can be told of its end later: a request that no thread stands behind. So the fsyncs of many clients
/// that share one write of the intent log cost no thread switch each.
/// </summary>
public abstract class FsyncWaiter
{
    /// <summary>The next one in the queue of the log.</summary>
    internal FsyncWaiter? NextWaiter;

    /// <summary>Number of the request, as the log counts them.</summary>
    internal long Request;

    /// <summary>
    /// The waiter leaves the thread that brought it, which may not touch it after the fsync was asked for. False: it can't (no memory for it); then
    /// the thread waits itself. Called before any lock of the log is taken.
    /// </summary>
    protected internal abstract bool TryLeave();

    /// <summary>What was asked for is done. By another thread, or in the midst of the call that asked; once, and only after <see cref="TryLeave"/>
    /// was true. Must not wait for a commit.</summary>
    /// <param name="error">0 or EIO.</param>
    protected internal abstract void Done(int error);
}
