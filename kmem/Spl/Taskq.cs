namespace ZfsLite.Kmem.Spl;

/// <summary>A queue of work served by a fixed number of threads (taskq_t), in FIFO order.</summary>
public sealed class Taskq : IWaitable
{
    private readonly Kmutex _mutex;
    private readonly Kcondvar _work;
    private readonly Kcondvar _idle;
    private readonly Kthread[] _threads;
    private TaskqEntry? _head;
    private TaskqEntry? _tail;
    private int _active;
    private bool _stopping;

    /// <summary>Creates the queue and starts its threads.</summary>
    /// <param name="name">Name of queue and threads.</param>
    /// <param name="threads">How many threads, at least 1.</param>
    /// <param name="flags">Marks that each thread carries for life.</param>
    public Taskq(string name, int threads, ThreadFlags flags = ThreadFlags.Fstrans)
    {
        Name = name;
        _mutex = new Kmutex("taskq " + name);
        _work = new Kcondvar("taskq work " + name);
        _idle = new Kcondvar("taskq idle " + name);
        _threads = new Kthread[threads];
        for (int i = 0; i < threads; i++)
        {
            _threads[i] = Kthread.Start($"{name}/{i}", () =>
            {
                Kthread.Current.Flags |= flags;
                Serve();
            });
        }
    }

    /// <summary>Name of the queue.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public string WaitName => $"taskq {Name}";

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        foreach (Kthread t in _threads)
        {
            owners.Add(t);
        }
    }

    /// <summary>Queues an entry, which must not be queued already. Never blocks for long, never allocates.</summary>
    public void Dispatch(TaskqEntry entry)
    {
        _mutex.Enter();
        if (entry.Queued || _stopping)
        {
            _mutex.Exit();
            throw new InvalidOperationException(_stopping ? $"taskq {Name} has ended" : "entry is queued already");
        }

        entry.Queued = true;
        entry.Next = null;
        if (_tail is null)
        {
            _head = entry;
        }
        else
        {
            _tail.Next = entry;
        }

        _tail = entry;
        _work.Signal();
        _mutex.Exit();
    }

    /// <summary>Queues a delegate. Allocates on the GC heap: not for hot paths.</summary>
    public void Dispatch(Action action) => Dispatch(new ActionEntry(action));

    /// <summary>Waits until nothing is queued and nothing runs.</summary>
    public void Wait()
    {
        _mutex.Enter();
        while (_head is not null || _active > 0)
        {
            _idle.Wait(_mutex, this);
        }

        _mutex.Exit();
    }

    /// <summary>Runs what is queued, then ends the threads.</summary>
    public void Destroy()
    {
        _mutex.Enter();
        _stopping = true;
        _work.Broadcast();
        _mutex.Exit();
        foreach (Kthread t in _threads)
        {
            t.Join();
        }
    }

    private void Serve()
    {
        _mutex.Enter();
        while (true)
        {
            if (_head is { } entry)
            {
                _head = entry.Next;
                if (_head is null)
                {
                    _tail = null;
                }

                entry.Queued = false;
                _active++;
                _mutex.Exit();
                try
                {
                    entry.Run();
                }
                finally
                {
                    _mutex.Enter();
                    _active--;
                    if (_head is null && _active == 0)
                    {
                        _idle.Broadcast();
                    }
                }
            }
            else if (_stopping)
            {
                break;
            }
            else
            {
                _work.Wait(_mutex);
            }
        }

        _mutex.Exit();
    }

    private sealed class ActionEntry(Action action) : TaskqEntry
    {
        protected internal override void Run() => action();
    }
}
