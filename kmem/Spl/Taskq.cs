namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A queue of work served by a fixed number of threads (taskq_t). Three lists: front (urgent, FIFO among themselves), normal
/// (FIFO), and delayed entries in order of time, which join the normal ones when they are due.
/// </summary>
/// <remarks>The queue's mutex is a leaf: nothing is taken under it, and it isn't held while an entry runs.</remarks>
public sealed class Taskq : IWaitable
{
    private readonly Kmutex _mutex;
    private readonly Kcondvar _work;
    private readonly Kcondvar _done;
    private readonly Kcondvar _space;
    private readonly IdleWait _idleWait;
    private readonly SpaceWait _spaceWait;
    private readonly Kthread[] _threads;
    private readonly TaskqEntry?[] _running;
    private readonly long[] _runningId;
    private readonly int _maxQueued;
    private TaskqList _front;
    private TaskqList _normal;
    private TaskqList _delayed;
    private long _lastId;
    private int _active;
    private bool _stopping;

    /// <summary>Creates the queue and starts its threads.</summary>
    /// <param name="name">Name of queue and threads.</param>
    /// <param name="threads">How many threads, at least 1.</param>
    /// <param name="flags">Marks that each thread carries for life.</param>
    /// <param name="maxQueued">How many entries may wait; Dispatch blocks beyond. The queue's own threads are not bound by it.</param>
    public Taskq(string name, int threads, ThreadFlags flags = ThreadFlags.Fstrans, int maxQueued = int.MaxValue)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxQueued, 1);
        Name = name;
        _maxQueued = maxQueued;
        _mutex = new Kmutex("taskq");
        _work = new Kcondvar("taskq work " + name);
        _done = new Kcondvar("taskq done " + name);
        _space = new Kcondvar("taskq space " + name);
        _idleWait = new IdleWait("work for taskq " + name);
        _spaceWait = new SpaceWait(this);
        _running = new TaskqEntry?[threads];
        _runningId = new long[threads];
        _threads = new Kthread[threads];
        for (int i = 0; i < threads; i++)
        {
            int index = i;
            _threads[i] = Kthread.Start($"{name}/{i}", () =>
            {
                Kthread.Current.Flags |= flags;
                Serve(index);
            });
        }
    }

    /// <summary>Name of the queue.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public string WaitName => $"taskq {Name}";

    /// <summary>Entries that wait, delayed ones not counted: a racy snapshot.</summary>
    public int QueuedCount => _front.Count + _normal.Count;

    /// <summary>Adds the threads that run an entry now: each has to end it before the queue can be done.</summary>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        for (int i = 0; i < _threads.Length; i++)
        {
            if (_running[i] is not null && _threads[i] is { } thread)
            {
                owners.Add(thread);
            }
        }
    }

    /// <summary>Queues an entry, which must not be queued already. Never allocates; blocks only while the queue is full.</summary>
    public void Dispatch(TaskqEntry entry) => Dispatch(entry, false, true);

    /// <summary>As Dispatch, before all entries that weren't put in front (TQ_FRONT).</summary>
    public void DispatchFront(TaskqEntry entry) => Dispatch(entry, true, true);

    /// <summary>As Dispatch, but gives up when the queue is full (TQ_NOSLEEP).</summary>
    /// <returns>False: the queue was full, the entry isn't queued.</returns>
    public bool TryDispatch(TaskqEntry entry, bool front = false) => Dispatch(entry, front, false);

    /// <summary>Queues a delegate. Allocates on the GC heap: not for hot paths.</summary>
    public void Dispatch(Action action) => Dispatch(new ActionEntry(action));

    /// <summary>Queues an entry that becomes ready at a time of <see cref="Kclock.NowNs"/>, never before. The bound doesn't apply.</summary>
    public void DispatchAt(TaskqEntry entry, long dueNs)
    {
        _mutex.Enter();
        Number(entry);
        entry.Delayed = true;
        entry.DueNs = dueNs;
        _delayed.AddByTime(entry);
        if (ReferenceEquals(_delayed.Head, entry))
        {
            _work.Signal();
        }

        _mutex.Exit();
    }

    /// <summary>Takes a queued entry back. If it runs already, waits until it has ended.</summary>
    public TaskqCancel Cancel(TaskqEntry entry)
    {
        _mutex.Enter();
        TaskqCancel result = TaskqCancel.NotFound;
        if (entry.Queued && Unlink(entry))
        {
            entry.Queued = false;
            result = TaskqCancel.Cancelled;
            WakeWaiters();
        }
        else
        {
            while (Array.IndexOf(_running, entry) >= 0)
            {
                result = TaskqCancel.WasRunning;
                _done.Wait(_mutex, this);
            }
        }

        _mutex.Exit();
        return result;
    }

    /// <summary>Waits until nothing is queued, delayed or running.</summary>
    public void Wait()
    {
        _mutex.Enter();
        while (!IsIdle())
        {
            _done.Wait(_mutex, this);
        }

        _mutex.Exit();
    }

    /// <summary>Waits until an entry is neither queued nor running.</summary>
    public void WaitFor(TaskqEntry entry)
    {
        _mutex.Enter();
        while (entry.Queued || Array.IndexOf(_running, entry) >= 0)
        {
            _done.Wait(_mutex, this);
        }

        _mutex.Exit();
    }

    /// <summary>Waits until every dispatch up to this <see cref="TaskqEntry.Id"/> has ended (taskq_wait_outstanding).</summary>
    public void WaitOutstanding(long id)
    {
        _mutex.Enter();
        while (LowestId() <= id)
        {
            _done.Wait(_mutex, this);
        }

        _mutex.Exit();
    }

    /// <summary>Runs what is queued (what is delayed, at its time), then ends the threads.</summary>
    public void Destroy()
    {
        Wait();
        _mutex.Enter();
        _stopping = true;
        _work.Broadcast();
        _mutex.Exit();
        foreach (Kthread t in _threads)
        {
            t.Join();
        }
    }

    private bool Dispatch(TaskqEntry entry, bool front, bool mayWait)
    {
        _mutex.Enter();
        while (QueuedCount >= _maxQueued && Array.IndexOf(_threads, Kthread.Current) < 0)
        {
            if (!mayWait)
            {
                _mutex.Exit();
                return false;
            }

            _space.Wait(_mutex, _spaceWait);
        }

        Number(entry);
        if (front)
        {
            _front.AddLast(entry);
        }
        else
        {
            _normal.AddLast(entry);
        }

        _work.Signal();
        _mutex.Exit();
        return true;
    }

    private void Number(TaskqEntry entry)
    {
        if (entry.Queued || _stopping)
        {
            _mutex.Exit();
            throw new InvalidOperationException(_stopping ? $"taskq {Name} has ended" : $"entry is queued already in taskq {Name}");
        }

        entry.Queued = true;
        entry.Delayed = false;
        entry.Id = ++_lastId;
    }

    private bool Unlink(TaskqEntry entry) =>
        entry.Delayed ? _delayed.Remove(entry) : _normal.Remove(entry) || _front.Remove(entry);

    private bool IsIdle() => QueuedCount == 0 && _delayed.Count == 0 && _active == 0;

    private long LowestId()
    {
        long lowest = _front.LowestId(_normal.LowestId(_delayed.LowestId(long.MaxValue)));
        for (int i = 0; i < _running.Length; i++)
        {
            if (_running[i] is not null)
            {
                lowest = Math.Min(lowest, _runningId[i]);
            }
        }

        return lowest;
    }

    private void Serve(int index)
    {
        _mutex.Enter();
        while (true)
        {
            if (_delayed.Head is not null)
            {
                PromoteDue();
            }

            if ((_front.RemoveFirst() ?? _normal.RemoveFirst()) is { } entry)
            {
                RunOne(entry, index);
            }
            else if (_stopping)
            {
                break;
            }
            else
            {
                _work.WaitUntil(_mutex, _delayed.Head?.DueNs ?? long.MaxValue, _idleWait);
            }
        }

        _mutex.Exit();
    }

    private void PromoteDue()
    {
        long nowNs = Kclock.NowNs;
        while (_delayed.Head is { } due && due.DueNs <= nowNs)
        {
            _delayed.RemoveFirst();
            due.Delayed = false;
            _normal.AddLast(due);
            _work.Signal();
        }
    }

    private void RunOne(TaskqEntry entry, int index)
    {
        entry.Queued = false;
        _runningId[index] = entry.Id;
        _running[index] = entry;
        _active++;
        if (_space.HasWaiters)
        {
            _space.Signal();
        }

        _mutex.Exit();
        entry.Run();
        _mutex.Enter();
        _running[index] = null;
        _active--;
        WakeWaiters();
    }

    private void WakeWaiters()
    {
        if (_done.HasWaiters)
        {
            _done.Broadcast();
        }

        if (_space.HasWaiters)
        {
            _space.Signal();
        }
    }

    private sealed class SpaceWait(Taskq queue) : IWaitable
    {
        public string WaitName => $"room in taskq {queue.Name}";

        public void CollectOwners(ICollection<Kthread> owners)
        {
            // Any thread can make room, unless there is only one.
            if (queue._threads.Length == 1)
            {
                queue.CollectOwners(owners);
            }
        }
    }

    private sealed class ActionEntry(Action action) : TaskqEntry
    {
        protected internal override void Run() => action();
    }
}
