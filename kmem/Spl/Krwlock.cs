namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A readers-writer lock (krwlock_t). A queued writer keeps new readers out, so reading twice in one thread may deadlock and
/// is an error. The name is its lock class (<see cref="LockOrder"/>).
/// </summary>
public sealed class Krwlock : IWaitable
{
    private const int Writer = -1;

    private readonly LockClass _class;

    // -1 a writer, 0 free, n readers.
    private int _state;
    private int _waiters;
    private int _epoch;
    private Kthread? _writer;
    private WaitQueue _queue;

    /// <summary>Makes a free lock.</summary>
    /// <param name="name">Its lock class.</param>
    public Krwlock(string name) => _class = LockOrder.Class(name);

    /// <inheritdoc/>
    public string WaitName => $"rwlock {_class.Name}";

    /// <summary>The lock class.</summary>
    public string Name => _class.Name;

    /// <summary>True if the calling thread holds it for writing (RW_WRITE_HELD).</summary>
    public bool IsWriteHeld => ReferenceEquals(_writer, Kthread.Current);

    /// <summary>True if the calling thread holds it for reading (RW_READ_HELD).</summary>
    public bool IsReadHeld => !IsWriteHeld && Kthread.Current.Holds(this);

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
    public void EnterRead() => Enter(false, _class.Id);

    /// <summary>Takes the lock for writing.</summary>
    public void EnterWrite() => Enter(true, _class.Id);

    /// <summary>As EnterRead while a lock of the same class is held, in an order that the caller answers for.</summary>
    /// <param name="level">1 for the first lock below, up to 7.</param>
    public void EnterReadNested(int level) => Enter(false, _class.Nested(level).Id);

    /// <summary>As EnterWrite while a lock of the same class is held, in an order that the caller answers for.</summary>
    /// <param name="level">1 for the first lock below, up to 7.</param>
    public void EnterWriteNested(int level) => Enter(true, _class.Nested(level).Id);

    /// <summary>Takes the lock for reading if that needs no wait.</summary>
    public bool TryEnterRead() => TryEnter(false);

    /// <summary>Takes the lock for writing if that needs no wait.</summary>
    public bool TryEnterWrite() => TryEnter(true);

    /// <summary>Turns the caller's read hold into a write hold, if it is the only reader (rw_tryupgrade). Never waits.</summary>
    public bool TryUpgrade()
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
        }

        if (!self.Holds(this) || ReferenceEquals(_writer, self))
        {
            throw new InvalidOperationException($"{self} upgrades rwlock {Name}, which it does not hold for reading");
        }

        if (Interlocked.CompareExchange(ref _state, Writer, 1) != 1)
        {
            return false;
        }

        _writer = self;
        return true;
    }

    /// <summary>Turns the caller's write hold into a read hold (rw_downgrade).</summary>
    public void Downgrade()
    {
        Kthread self = Kthread.Current;
        if (!ReferenceEquals(_writer, self))
        {
            throw new InvalidOperationException($"{self} downgrades rwlock {Name}, which it does not hold for writing");
        }

        _writer = null;
        Interlocked.Exchange(ref _state, 1);
        if (Volatile.Read(ref _waiters) != 0)
        {
            Wake();
        }
    }

    /// <summary>Releases the lock, however it is held.</summary>
    public void Exit()
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated && SimBackend.Aborting && !self.Holds(this))
        {
            return;
        }

        self.PopHeld(this);
        int after = 0;
        if (ReferenceEquals(_writer, self))
        {
            _writer = null;
            Interlocked.Exchange(ref _state, 0);
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
            Refresh();
        }

        if (!TryTake(write, Volatile.Read(ref _waiters) != 0))
        {
            return false;
        }

        Took(self, write, _class.Id | LockOrder.Try);
        return true;
    }

    private void Enter(bool write, int classId)
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
            Refresh();
        }

        LockOrder.Check(self, this, classId);

        if (!TryTake(write, Volatile.Read(ref _waiters) != 0))
        {
            EnterSlow(self, write);
        }

        Took(self, write, classId);
    }

    /// <summary>Simulator: a lock that outlived its world is free in the next one.</summary>
    private void Refresh()
    {
        if (_epoch != SimBackend.Epoch)
        {
            _epoch = SimBackend.Epoch;
            _state = 0;
            _waiters = 0;
            _writer = null;
            _queue = default;
        }
    }

    private void Took(Kthread self, bool write, int classWord)
    {
        if (write)
        {
            _writer = self;
        }

        self.PushHeld(this, classWord);
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
            throw new InvalidOperationException($"{self} enters rwlock {Name}, which it holds already");
        }

        if (SplPlatform.IsSimulated)
        {
            SimBackend.ThrowIfAborting();
        }

        self.BeforeBlock?.Invoke();
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
