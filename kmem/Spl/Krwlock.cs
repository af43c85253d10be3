namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A readers-writer lock (krwlock_t). A queued writer keeps new readers out, so reading twice in one thread may deadlock and
/// is an error.
/// </summary>
public sealed class Krwlock(string name) : IWaitable
{
    private const int Writer = -1;

    // -1 a writer, 0 free, n readers.
    private int _state;
    private int _waiters;
    private Kthread? _writer;
    private WaitQueue _queue;

    /// <inheritdoc/>
    public string WaitName => $"rwlock {name}";

    /// <summary>The lock class.</summary>
    public string Name => name;

    /// <summary>True if the calling thread holds it for writing.</summary>
    public bool IsWriteHeld => ReferenceEquals(_writer, Kthread.Current);

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        if (_writer is { } w)
        {
            owners.Add(w);
            return;
        }

        foreach (Kthread t in Kthread.All())
        {
            if (t.Holds(this))
            {
                owners.Add(t);
            }
        }
    }

    /// <summary>Takes the lock for reading.</summary>
    public void EnterRead() => Enter(false);

    /// <summary>Takes the lock for writing.</summary>
    public void EnterWrite() => Enter(true);

    /// <summary>Takes the lock for reading if that needs no wait.</summary>
    public bool TryEnterRead() => TryEnter(false);

    /// <summary>Takes the lock for writing if that needs no wait.</summary>
    public bool TryEnterWrite() => TryEnter(true);

    /// <summary>Releases the lock, however it is held.</summary>
    public void Exit()
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated && SimBackend.Aborting && !self.Holds(this))
        {
            return;
        }

        self.PopHeld(this);
        int after;
        if (ReferenceEquals(_writer, self))
        {
            _writer = null;
            Interlocked.Exchange(ref _state, 0);
            after = 0;
        }
        else
        {
            after = Interlocked.Decrement(ref _state);
        }

        if (after == 0 && Volatile.Read(ref _waiters) != 0)
        {
            Wake();
        }
    }

    private bool TryEnter(bool write)
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
        }

        if (!TryTake(write, Volatile.Read(ref _waiters) != 0))
        {
            return false;
        }

        Took(self, write);
        return true;
    }

    private void Enter(bool write)
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
        }

        if (!TryTake(write, Volatile.Read(ref _waiters) != 0))
        {
            EnterSlow(self, write);
        }

        Took(self, write);
    }

    private void Took(Kthread self, bool write)
    {
        if (write)
        {
            _writer = self;
        }

        self.PushHeld(this);
    }

    private bool TryTake(bool write, bool queued)
    {
        while (true)
        {
            int s = Volatile.Read(ref _state);
            if (write)
            {
                return s == 0 && Interlocked.CompareExchange(ref _state, Writer, 0) == 0;
            }

            if (s < 0 || queued)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref _state, s + 1, s) == s)
            {
                return true;
            }
        }
    }

    private void EnterSlow(Kthread self, bool write)
    {
        if (self.Holds(this))
        {
            throw new InvalidOperationException($"{self} enters rwlock {name}, which it holds already");
        }

        self.WantsWrite = write;
        _queue.Lock();
        Interlocked.Increment(ref _waiters);
        while (true)
        {
            // First in line, or allowed past: a reader may pass only readers.
            bool first = _queue.IsEmpty || ReferenceEquals(_queue.Head, self);
            if (first && TryTake(write, false))
            {
                if (self.InWaitQueue)
                {
                    _queue.Remove(self);
                }

                Interlocked.Decrement(ref _waiters);
                Kthread? next = write ? null : _queue.Head;
                _queue.Unlock();
                if (next is { WantsWrite: false })
                {
                    next.Unpark();
                }

                return;
            }

            if (!self.InWaitQueue)
            {
                _queue.Enqueue(self);
            }

            _queue.Unlock();
            self.Park(this);
            _queue.Lock();
        }
    }

    private void Wake()
    {
        _queue.Lock();
        Kthread? next = _queue.Head;
        _queue.Unlock();
        next?.Unpark();
    }
}
