using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// What the caches of the SPL engine have in common: the growth queue "spl_kmem_cache", whose threads start with the first growth,
/// the list of caches, and the generic shrinker that asks them for memory.
/// </summary>
internal sealed class SplEngineShared(KmemSystem system) : IShrinker
{
    private readonly Kmutex _lock = new("spl_kmem_caches");
    private readonly Kcondvar _left = new("spl_kmem_cache_left");
    private Taskq? _queue;
    private Entry[] _caches = [];
    private bool _registered;

    /// <inheritdoc/>
    public string Name => "spl_kmem_cache";

    /// <summary>Can threads be started? Not in the simulator outside a run, where there is one thread and nobody to wait for.</summary>
    internal bool CanDispatch => !SplPlatform.IsSimulated || SimWorld.IsRunning;

    /// <summary>Adds a cache to those that the shrinker asks.</summary>
    internal void Add(KmemCache cache)
    {
        _lock.Enter();
        _caches = [.. _caches, new Entry(cache)];
        bool first = !_registered;
        _registered = true;
        _lock.Exit();
        if (first)
        {
            system.Shrinkers.Add(this);
        }
    }

    /// <summary>Takes a cache out; returns once no thread is inside it. Not from its own callback.</summary>
    internal void Remove(KmemCache cache)
    {
        _lock.Enter();
        Entry? entry = Array.Find(_caches, e => ReferenceEquals(e.Cache, cache));
        if (entry is not null)
        {
            entry.Removed = true;
            _caches = [.. _caches.Where(e => !ReferenceEquals(e, entry))];
            while (entry.Active > 0)
            {
                _left.Wait(_lock);
            }
        }

        _lock.Exit();
    }

    /// <summary>Starts the threads of the queue, unless they run.</summary>
    internal void EnsureQueue()
    {
        if (_queue is not null)
        {
            return;
        }

        _lock.Enter();
        _queue ??= new Taskq("spl_kmem_cache", system.Options.Spl.GrowthThreads, ThreadFlags.None);
        _lock.Exit();
    }

    /// <summary>Queues an entry. Never waits.</summary>
    internal void Dispatch(TaskqEntry entry) => _queue!.Dispatch(entry);

    /// <summary>Queues an entry for a time.</summary>
    internal void DispatchAt(TaskqEntry entry, long dueNs)
    {
        EnsureQueue();
        _queue!.DispatchAt(entry, dueNs);
    }

    /// <summary>Takes an entry back, or waits for its end.</summary>
    internal void Cancel(TaskqEntry entry) => _queue?.Cancel(entry);

    /// <summary>Waits for the end of an entry.</summary>
    internal void Finish(TaskqEntry entry) => _queue?.WaitFor(entry);

    /// <summary>Ends the threads.</summary>
    internal void Stop()
    {
        foreach (Entry entry in _caches)
        {
            entry.Cache.StopAging();
        }

        _queue?.Destroy();
        _queue = null;
    }

    /// <summary>Objects that are out of their slabs: what asking could bring back.</summary>
    public long Count(in ShrinkControl control)
    {
        long objects = 0;
        foreach (Entry entry in _caches)
        {
            objects += entry.Cache.ObjectsOut;
        }

        return objects;
    }

    /// <summary>Has each cache reap its share.</summary>
    /// <returns>Objects that went; <see cref="IShrinker.Stop"/> in a marked thread, and after one pass if so set (KMC_RECLAIM_ONCE).</returns>
    public long Scan(in ShrinkControl control, long toScan)
    {
        if (Gfp.IsMarked(system.Policy, Kthread.Current.Flags))
        {
            return IShrinker.Stop;
        }

        long freed = 0;
        foreach (Entry entry in _caches)
        {
            if (Enter(entry))
            {
                try
                {
                    freed += entry.Cache.ReapShare(toScan);
                }
                finally
                {
                    Leave(entry);
                }
            }
        }

        return system.Options.Spl.ReclaimOnce ? IShrinker.Stop : freed;
    }

    private bool Enter(Entry entry)
    {
        _lock.Enter();
        bool entered = !entry.Removed;
        entry.Active += entered ? 1 : 0;
        _lock.Exit();
        return entered;
    }

    private void Leave(Entry entry)
    {
        _lock.Enter();
        entry.Active--;
        if (entry.Removed)
        {
            _left.Broadcast();
        }

        _lock.Exit();
    }

    private sealed class Entry(KmemCache cache)
    {
        internal readonly KmemCache Cache = cache;
        internal int Active;
        internal bool Removed;
    }
}
