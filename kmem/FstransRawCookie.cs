using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The mark as the first proposal of 2014 had it: a cookie that lives in a heap object (the transaction), so nothing but its
/// assertions keeps it in its thread and in order. For policy txcookie in the transaction layer alone; banned elsewhere.
/// </summary>
public struct FstransRawCookie
{
    private Kthread? _thread;
    private ThreadFlags _saved;

    /// <summary>Has it been marked and not yet unmarked?</summary>
    public readonly bool IsMarked => _thread is not null;

    /// <summary>Marks the calling thread. A cookie that is marked already is overwritten, and its mark leaks: so did the original.</summary>
    public void Mark()
    {
        _thread = Kthread.Current;
        _saved = _thread.Flags & ThreadFlags.Fstrans;
        _thread.Flags |= ThreadFlags.Fstrans;
    }

    /// <summary>Unmarks. Throws in another thread than that of Mark, with a cookie that was never marked, and if the mark is gone.</summary>
    public void Unmark()
    {
        Kthread self = Kthread.Current;
        if (!ReferenceEquals(_thread, self))
        {
            throw new InvalidOperationException($"{self} unmarks a cookie of {_thread?.ToString() ?? "no thread"}");
        }

        if ((self.Flags & ThreadFlags.Fstrans) == 0)
        {
            throw new InvalidOperationException($"{self} unmarks, but is not marked");
        }

        self.Flags = (self.Flags & ~ThreadFlags.Fstrans) | _saved;
        _thread = null;
    }
}
