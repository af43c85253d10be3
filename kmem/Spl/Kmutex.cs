namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A sleeping mutual-exclusion lock (kmutex_t). Not recursive. The owner is on record, so a blocked thread's edge in the
/// wait-for graph is always known. <paramref name="name"/> is its lock class.
/// </summary>
public sealed class Kmutex(string name) : IWaitable
{
    // 0 free, 1 held, 2 held and somebody may be queued.
    private int _state;
    private Kthread? _owner;
    private WaitQueue _queue;

    /// <inheritdoc/>
    public string WaitName => $"mutex {name}";

    /// <summary>The lock class.</summary>
    public string Name => name;

    /// <summary>The holder, or null.</summary>
    public Kthread? Owner => _owner;

    /// <summary>True if the calling thread holds the lock (MUTEX_HELD).</summary>
    public bool IsHeld => ReferenceEquals(_owner, Kthread.Current);

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        if (_owner is { } owner)
        {
            owners.Add(owner);
        }
    }

    /// <summary>Takes the lock; sleeps while another thread holds it.</summary>
    public void Enter()
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
        }

        if (Interlocked.CompareExchange(ref _state, 1, 0) != 0)
        {
            EnterSlow(self);
        }

        _owner = self;
        self.PushHeld(this);
    }

    /// <summary>Takes the lock if it is free.</summary>
    public bool TryEnter()
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
        }

        if (Interlocked.CompareExchange(ref _state, 1, 0) != 0)
        {
            return false;
        }

        _owner = self;
        self.PushHeld(this);
        return true;
    }

    /// <summary>Releases the lock, which the calling thread must hold.</summary>
    public void Exit()
    {
        Kthread self = Kthread.Current;
        if (!ReferenceEquals(_owner, self))
        {
            if (SplPlatform.IsSimulated && SimBackend.Aborting)
            {
                return;
            }

            throw new InvalidOperationException($"{self} releases mutex {name} held by {_owner?.ToString() ?? "nobody"}");
        }

        self.PopHeld(this);
        _owner = null;
        if (Interlocked.Exchange(ref _state, 0) == 2)
        {
            _queue.Lock();
            Kthread? next = _queue.Dequeue();
            _queue.Unlock();
            next?.Unpark();
        }
    }

    private void EnterSlow(Kthread self)
    {
        if (ReferenceEquals(_owner, self))
        {
            throw new InvalidOperationException($"{self} enters mutex {name}, which it holds already");
        }

        if (!SplPlatform.IsSimulated)
        {
            var spin = default(SpinWait);
            for (int i = 0; i < 10; i++)
            {
                if (_state == 0 && Interlocked.CompareExchange(ref _state, 1, 0) == 0)
                {
                    return;
                }

                spin.SpinOnce(-1);
            }
        }

        while (true)
        {
            _queue.Lock();
            if (Interlocked.Exchange(ref _state, 2) == 0)
            {
                _queue.Unlock();
                return;
            }

            if (!self.InWaitQueue)
            {
                _queue.Enqueue(self);
            }

            _queue.Unlock();
            self.Park(this);
            if (self.InWaitQueue)
            {
                // A stray wake-up: leave the queue before trying again.
                _queue.Lock();
                if (self.InWaitQueue)
                {
                    _queue.Remove(self);
                }

                _queue.Unlock();
            }
        }
    }
}
