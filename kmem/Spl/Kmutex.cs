namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A sleeping mutual-exclusion lock (kmutex_t). Not recursive. The owner is on record, so a blocked thread's edge in the
/// wait-for graph is always known. The name is its lock class (<see cref="LockOrder"/>).
/// </summary>
/// <remarks>
/// The lock may be taken by a newcomer while a woken waiter is on its way: no hand-off, no convoy. Each waiter that takes it
/// after sleeping leaves the state at "held, queued", so that its release wakes the next.
/// </remarks>
public sealed class Kmutex : IWaitable
{
    private const int Free = 0;
    private const int Taken = 1;
    private const int TakenAndQueued = 2;
    private const int Spins = 10;

    private readonly LockClass _class;
    private int _state;
    private int _epoch;
    private Kthread? _owner;
    private WaitQueue _queue;

    /// <summary>Makes a free mutex.</summary>
    /// <param name="name">Its lock class.</param>
    public Kmutex(string name) => _class = LockOrder.Class(name);

    /// <inheritdoc/>
    public string WaitName => $"mutex {_class.Name}";

    /// <summary>The lock class.</summary>
    public string Name => _class.Name;

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
    public void Enter() => Enter(_class.Id);

    /// <summary>Takes the lock while one of the same class is held, in an order that the caller answers for (parent, child).</summary>
    /// <param name="level">1 for the first lock below, up to 7.</param>
    public void EnterNested(int level) => Enter(_class.Nested(level).Id);

    /// <summary>Takes the lock if it is free.</summary>
    public bool TryEnter()
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
            Refresh();
        }

        if (Interlocked.CompareExchange(ref _state, Taken, Free) != Free)
        {
            return false;
        }

        _owner = self;
        self.PushHeld(this, _class.Id | LockOrder.Try);
        return true;
    }

    /// <summary>Releases the lock, which the calling thread must hold.</summary>
    public void Exit()
    {
        Kthread self = Kthread.Current;
        if (!ReferenceEquals(_owner, self))
        {
            NotOwner(self);
            return;
        }

        self.PopHeld(this);
        _owner = null;
        if (Interlocked.Exchange(ref _state, Free) == TakenAndQueued)
        {
            _queue.Lock();
            Kthread? next = _queue.Dequeue();
            _queue.Unlock();
            next?.Unpark();
        }
    }

    private void Enter(int classId)
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
            Refresh();
        }

        LockOrder.Check(self, this, classId);
        if (Interlocked.CompareExchange(ref _state, Taken, Free) != Free)
        {
            EnterSlow(self);
        }

        _owner = self;
        self.PushHeld(this, classId);
    }

    private void NotOwner(Kthread self)
    {
        if (!SplPlatform.IsSimulated || !SimBackend.Aborting)
        {
            throw new InvalidOperationException($"{self} releases mutex {Name} held by {_owner?.ToString() ?? "nobody"}");
        }
    }

    /// <summary>Simulator: a lock that outlived its world (it lies in a static) is free in the next one.</summary>
    private void Refresh()
    {
        if (_epoch != SimBackend.Epoch)
        {
            _epoch = SimBackend.Epoch;
            _state = Free;
            _owner = null;
            _queue = default;
        }
    }

    private void EnterSlow(Kthread self)
    {
        if (ReferenceEquals(_owner, self))
        {
            throw new InvalidOperationException($"{self} enters mutex {Name}, which it holds already");
        }

        if (SplPlatform.IsSimulated)
        {
            SimBackend.ThrowIfAborting();
        }
        else if (TrySpin())
        {
            return;
        }

        self.BeforeBlock?.Invoke();
        while (true)
        {
            _queue.Lock();
            if (Interlocked.Exchange(ref _state, TakenAndQueued) == Free)
            {
                _queue.Unlock();
                return;
            }

            _queue.Enqueue(self);
            _queue.Unlock();
            self.Park(this);
            if (Volatile.Read(ref self.InWaitQueue))
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

    private bool TrySpin()
    {
        var spin = default(SpinWait);
        for (int i = 0; i < Spins; i++)
        {
            if (Volatile.Read(ref _state) == Free && Interlocked.CompareExchange(ref _state, Taken, Free) == Free)
            {
                return true;
            }

            spin.SpinOnce(-1);
        }

        return false;
    }
}
