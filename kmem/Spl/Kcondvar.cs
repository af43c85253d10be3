namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A condition variable (kcondvar_t). Signal and Broadcast are called with the same mutex held that the waiters use. As with
/// every condition variable the condition is tested in a loop: a wait may return early.
/// </summary>
public sealed class Kcondvar(string name) : IWaitable
{
    private WaitQueue _queue;

    /// <inheritdoc/>
    public string WaitName => $"condition {name}";

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
    }

    /// <summary>Releases the mutex, sleeps until signalled, takes the mutex again.</summary>
    /// <param name="mutex">Held by the caller.</param>
    /// <param name="reason">What is waited for and who can end it; null: this condition, unknown waker.</param>
    public void Wait(Kmutex mutex, IWaitable? reason = null) => WaitUntil(mutex, long.MaxValue, reason);

    /// <summary>As Wait, until a deadline in <see cref="Kclock.NowNs"/> terms.</summary>
    /// <returns>False when the deadline passed before a signal.</returns>
    public bool WaitUntil(Kmutex mutex, long deadlineNs, IWaitable? reason = null)
    {
        Kthread self = Kthread.Current;
        _queue.Lock();
        _queue.Enqueue(self);
        _queue.Unlock();
        mutex.Exit();
        bool signalled = true;
        while (true)
        {
            bool woken = self.ParkUntil(deadlineNs, reason ?? this);
            _queue.Lock();
            if (!self.InWaitQueue)
            {
                _queue.Unlock();
                break;
            }

            if (!woken)
            {
                _queue.Remove(self);
                _queue.Unlock();
                signalled = false;
                break;
            }

            _queue.Unlock();
        }

        mutex.Enter();
        return signalled;
    }

    /// <summary>Wakes one waiter.</summary>
    public void Signal()
    {
        if (_queue.IsEmpty)
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
        while (!_queue.IsEmpty)
        {
            Signal();
        }
    }
}
