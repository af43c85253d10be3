namespace ZfsLite.Kmem.Spl;

/// <summary>A FIFO of blocked threads with a tiny spin lock of its own. Never held across anything that blocks.</summary>
internal struct WaitQueue
{
    private int _lock;
    private Kthread? _head;
    private Kthread? _tail;

    internal readonly bool IsEmpty => _head is null;

    internal readonly Kthread? Head => _head;

    internal void Lock()
    {
        if (SplPlatform.IsSimulated)
        {
            return;
        }

        if (Interlocked.CompareExchange(ref _lock, 1, 0) != 0)
        {
            var spin = default(SpinWait);
            do
            {
                spin.SpinOnce(-1);
            }
            while (Interlocked.CompareExchange(ref _lock, 1, 0) != 0);
        }
    }

    internal void Unlock()
    {
        if (!SplPlatform.IsSimulated)
        {
            Volatile.Write(ref _lock, 0);
        }
    }

    internal void Enqueue(Kthread thread)
    {
        thread.NextWaiter = null;
        thread.InWaitQueue = true;
        if (_tail is null)
        {
            _head = thread;
        }
        else
        {
            _tail.NextWaiter = thread;
        }

        _tail = thread;
    }

    internal Kthread? Dequeue()
    {
        Kthread? thread = _head;
        if (thread is not null)
        {
            _head = thread.NextWaiter;
            if (_head is null)
            {
                _tail = null;
            }

            thread.NextWaiter = null;
            thread.InWaitQueue = false;
        }

        return thread;
    }

    internal void Remove(Kthread thread)
    {
        Kthread? prev = null;
        for (Kthread? t = _head; t is not null; prev = t, t = t.NextWaiter)
        {
            if (ReferenceEquals(t, thread))
            {
                if (prev is null)
                {
                    _head = t.NextWaiter;
                }
                else
                {
                    prev.NextWaiter = t.NextWaiter;
                }

                if (ReferenceEquals(_tail, t))
                {
                    _tail = prev;
                }

                t.NextWaiter = null;
                t.InWaitQueue = false;
                return;
            }
        }
    }
}
