using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>The cookie of one mark: thread and saved bit. A ref struct, so that it can't leave its thread.</summary>
public readonly ref struct FstransCookie
{
    private readonly Kthread? _thread;
    private readonly ThreadFlags _saved;

    internal FstransCookie(Kthread thread)
    {
        _thread = thread;
        _saved = thread.Flags & ThreadFlags.Fstrans;
        thread.Flags |= ThreadFlags.Fstrans;
    }

    /// <summary>spl_fstrans_unmark. The cookie of a policy that does not mark does nothing.</summary>
    public void Dispose()
    {
        if (_thread is null)
        {
            return;
        }

        if (!ReferenceEquals(_thread, Kthread.Current) || (_thread.Flags & ThreadFlags.Fstrans) == 0)
        {
            throw new InvalidOperationException("unmarked in another thread, or not marked");
        }

        _thread.Flags = (_thread.Flags & ~ThreadFlags.Fstrans) | _saved;
    }
}
