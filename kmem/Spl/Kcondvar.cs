namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A condition variable (kcondvar_t). Signal and Broadcast are called with the same mutex held that the waiters use. As with
/// every condition variable the condition is tested in a loop: a wait may return early.
/// </summary>
public sealed class Kcondvar(string name) : IWaitable
{
    private WaitQueue _queue;
    private int _epoch;

    /// <inheritdoc/>
    public string WaitName => $"condition {name}";

    /// <summary>True if somebody waits: exact with the mutex held.</summary>
    public bool HasWaiters => !_queue.IsEmpty && (!SplPlatform.IsSimulated || _epoch == SimBackend.Epoch);

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
    }

    /// <summary>Releases the mutex, sleeps until signalled, takes the mutex again.</summary>
    /// <param name="mutex">Held by the caller.</param>
    /// <param name="reason">What is waited for and who can end it; null: this condition, unknown waker.</param>
    public void Wait(Kmutex mutex, IWaitable? reason = null) => WaitUntil(mutex, long.MaxValue, reason);

    /// <summary>
    /// As Wait, until a deadline in <see cref="Kclock.NowNs"/> terms. Precise to what the operating system's wake-up costs, tens of
    /// microseconds; deadlines are not rounded.
    /// </summary>
    /// <returns>False when the deadline passed before a signal.</returns>
    public bool WaitUntil(Kmutex mutex, long deadlineNs, IWaitable? reason = null)
    {
        Kthread self = Kthread.Current;
        if (SplPlatform.IsSimulated)
        {
            SimBackend.ThrowIfAborting();
            Refresh();
        }

        if (!mutex.IsHeld)
        {
            throw new InvalidOperationException($"{self} waits for condition {name} without holding mutex {mutex.Name}");
        }

        self.BeforeBlock?.Invoke();
        _queue.Lock();
        _queue.Enqueue(self);
        _queue.Unlock();
        mutex.Exit();
        bool signalled = ParkInQueue(self, deadlineNs, reason ?? this);
        mutex.Enter();
        return signalled;
    }

    /// <summary>Wakes one waiter.</summary>
    public void Signal()
    {
        if (!HasWaiters)
        {
            return;
        }

        _queue.Lock();
        Kthread? next = _queue.Dequeue();
        _queue.Unlock();
        next?.Unpark();
    }

    /// <summary>Wakes all waiters.</summary>
    public void Broadcast()
    {
        while (HasWaiters)
        {
            Signal();
        }
    }

    private bool ParkInQueue(Kthread self, long deadlineNs, IWaitable reason)
    {
        while (true)
        {
            bool woken = self.ParkUntil(deadlineNs, reason);
            _queue.Lock();
            bool queued = self.InWaitQueue;
            if (queued && !woken)
            {
                _queue.Remove(self);
            }

            _queue.Unlock();
            if (!queued)
            {
                return true;
            }

            if (!woken)
            {
                return false;
            }
        }
    }

    private void Refresh()
    {
        if (_epoch != SimBackend.Epoch)
        {
            _epoch = SimBackend.Epoch;
            _queue = default;
        }
    }
}
