namespace ZfsLite.Kmem.Spl;

/// <summary>
/// A queue of work served by its own threads (taskq_t). Three lists: front (urgent, FIFO among themselves), normal (FIFO), and
/// delayed entries in order of time, which join the normal ones when they are due. The number of threads is fixed, or
/// (TASKQ_DYNAMIC) it follows the work: one at first, one more whenever an entry waits and no thread is idle or about to start,
/// and one that has been idle for a second ends, unless it is the last.
/// </summary>
/// <remarks>The queue's mutex is a leaf: nothing is taken under it, and it isn't held while an entry runs or a thread is started.</remarks>
public sealed class Taskq : IWaitable
{
    private const long IdleNsMax = 1_000_000_000;

    private readonly Kmutex _mutex;
    private readonly Kcondvar _work;
    private readonly Kcondvar _done;
    private readonly Kcondvar _space;
    private readonly IdleWait _idleWait;
    private readonly SpaceWait _spaceWait;
    private readonly Kthread?[] _threads;
    private readonly TaskqEntry?[] _running;
    private readonly long[] _runningId;
    private readonly bool[] _slotTaken;
    private readonly int _maxQueued;
    private readonly ThreadFlags _threadFlags;
    private readonly bool _isDynamic;
    private TaskqList _front;
    private TaskqList _normal;
    private TaskqList _delayed;
    private long _lastId;
    private int _active;
    private int _idle;
    private int _threadCount;
    private int _starting;
    private bool _stopping;

    /// <summary>Creates the queue and starts its threads.</summary>
    /// <param name="name">Name of queue and threads.</param>
    /// <param name="threads">How many threads, at least 1.</param>
    /// <param name="flags">Marks that each thread carries for life.</param>
    /// <param name="maxQueued">How many entries may wait; Dispatch blocks beyond. The queue's own threads are not bound by it.</param>
    /// <param name="isDynamic">TASKQ_DYNAMIC: <paramref name="threads"/> is the most there may be; only one is started now.</param>
    public Taskq(string name, int threads, ThreadFlags flags = ThreadFlags.Fstrans, int maxQueued = int.MaxValue, bool isDynamic = false)
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
        _slotTaken = new bool[threads];
        _threadFlags = flags;
        _isDynamic = isDynamic;
        _threadCount = isDynamic ? 1 : threads;
        for (int i = 0; i < _threadCount; i++)
        {
            _slotTaken[i] = true;
            _threads[i] = StartThread(i, false);
        }
    }

    /// <summary>Name of the queue.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public string WaitName => $"taskq {Name}";

    /// <summary>Entries that wait, delayed ones not counted: a racy snapshot.</summary>
    public int QueuedCount => _front.Count + _normal.Count;

    /// <summary>Threads there are, one that is about to start included: a racy snapshot.</summary>
    public int ThreadCount => Volatile.Read(ref _threadCount);

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

    /// <summary>Queues an entry, which must not be queued already. Blocks only while the queue is full. Allocates nothing, unless
    /// the queue is dynamic and starts a thread.</summary>
    public void Dispatch(TaskqEntry entry) => Dispatch(entry, false, true);

    /// <summary>As Dispatch, before all entries that weren't put in front (TQ_FRONT).</summary>
    public void DispatchFront(TaskqEntry entry) => Dispatch(entry, true, true);

    /// <summary>As Dispatch, but gives up when the queue is full (TQ_NOSLEEP).</summary>
    /// <returns>False: the queue was full, the entry isn't queued.</returns>
    public bool TryDispatch(TaskqEntry entry, bool front = false) => Dispatch(entry, front, false);

    /// <summary>Queues a delegate. Allocates on the GC heap: not for hot paths.</summary>
    /// <returns>The number of the dispatch, for <see cref="WaitOutstanding"/>.</returns>
    public long Dispatch(Action action) => Dispatch(action, false);

    /// <summary>As Dispatch of a delegate, before all entries that weren't put in front (TQ_FRONT).</summary>
    /// <returns>The number of the dispatch, for <see cref="WaitOutstanding"/>.</returns>
    public long DispatchFront(Action action) => Dispatch(action, true);

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
        while (_starting > 0)
        {
            _done.Wait(_mutex, this);
        }

        _mutex.Exit();
        foreach (Kthread? t in _threads)
        {
            t?.Join();
        }
    }

    private long Dispatch(Action action, bool front)
    {
        var entry = new ActionEntry(action);
        Dispatch(entry, front, true);
        return entry.Id;
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

        // With entries before this one somebody is about to take them, and will see to it: a burst isn't held up by starting threads.
        int slot = QueuedCount == 1 ? ReserveThread() : -1;
        _mutex.Exit();
        StartReserved(slot);
        return true;
    }

    /// <summary>A dynamic queue in which an entry waits and no thread is free for it: takes a place for one more. The mutex is held.</summary>
    /// <returns>Its place, or -1.</returns>
    private int ReserveThread()
    {
        if (!_isDynamic || _threadCount == _threads.Length || QueuedCount == 0 || _idle + _starting > 0 || _stopping)
        {
            return -1;
        }

        int slot = Array.IndexOf(_slotTaken, false);
        _slotTaken[slot] = true;
        _threadCount++;
        _starting++;
        return slot;
    }

    private void StartReserved(int slot)
    {
        if (slot >= 0)
        {
            // Who had the place before has given it up and is about to end: Destroy knows only the last one.
            _threads[slot]?.Join();
            StartThread(slot, true);
        }
    }

    private Kthread StartThread(int index, bool isReserved) => Kthread.Start($"{Name}/{index}", () =>
    {
        Kthread.Current.Flags |= _threadFlags;
        Serve(index, isReserved);
    });

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

    private void Serve(int index, bool isReserved)
    {
        _mutex.Enter();
        if (isReserved)
        {
            _threads[index] = Kthread.Current;
            _starting--;
            WakeWaiters();
        }

        long idleSinceNs = long.MaxValue;
        while (true)
        {
            if (_delayed.Head is not null)
            {
                PromoteDue();
            }

            if ((_front.RemoveFirst() ?? _normal.RemoveFirst()) is { } entry)
            {
                idleSinceNs = long.MaxValue;
                RunOne(entry, index);
            }
            else if (_stopping || (_isDynamic && IsSuperfluous(ref idleSinceNs)))
            {
                break;
            }
            else
            {
                long untilNs = _delayed.Head?.DueNs ?? long.MaxValue;
                if (idleSinceNs != long.MaxValue)
                {
                    untilNs = Math.Min(untilNs, idleSinceNs + IdleNsMax);
                }

                _idle++;
                _work.WaitUntil(_mutex, untilNs, _idleWait);
                _idle--;
            }
        }

        if (!_stopping)
        {
            _slotTaken[index] = false;
            _threadCount--;

            // Perhaps this was the one that knew of the first delayed entry.
            _work.Signal();
        }

        _mutex.Exit();
    }

    /// <summary>Has a thread of a dynamic queue, not the last, been idle for too long?</summary>
    private bool IsSuperfluous(ref long idleSinceNs)
    {
        if (_threadCount == 1)
        {
            idleSinceNs = long.MaxValue;
            return false;
        }

        long nowNs = Kclock.NowNs;
        idleSinceNs = Math.Min(idleSinceNs, nowNs);
        return nowNs - idleSinceNs >= IdleNsMax;
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

        int slot = ReserveThread();
        _mutex.Exit();
        StartReserved(slot);
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
