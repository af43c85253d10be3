using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <content>The queues of a cache: their arrays, their filling and emptying, their sizes.</content>
public sealed unsafe partial class KmemCache
{
    private const long ResizeWaitNs = 100_000;

    private readonly Kmutex _tuning = new("kmem_tuning");
    private int _queueSize;
    private int _batch;

    /// <summary>Objects that each queue may hold.</summary>
    internal int QueueSize => _queueSize;

    /// <summary>Objects that move at once between a queue and what is behind it.</summary>
    internal int BatchSize => _batch;

    /// <summary>The queues, one per virtual CPU.</summary>
    internal ReadOnlySpan<Magazine> Magazines => _magazines;

    /// <summary>
    /// Changes the size of all queues and the batch, while others allocate and free; inside <see cref="TryTune"/>. Each queue gets its new array while its lock is
    /// held; what no longer fits, the coldest objects, goes to the slabs.
    /// </summary>
    /// <param name="size">Objects in a queue, 0 to <see cref="QueueMemory.MaxEntries"/>.</param>
    /// <param name="batch">1 to <paramref name="size"/>, or 0 if that is 0.</param>
    internal void Resize(int size, int batch)
    {
        int before = _queueSize;
        _queueSize = size;
        _batch = batch;
        foreach (Magazine magazine in _magazines)
        {
            Replace(magazine, size, batch, size != before);
        }
    }

    /// <summary>Runs a change of the cache's attributes, one at a time, and not while the cache ends. False: it has ended.</summary>
    internal bool TryTune(Action change)
    {
        _tuning.Enter();
        try
        {
            if (_destroyed != 0)
            {
                return false;
            }

            change();
            return true;
        }
        finally
        {
            _tuning.Exit();
        }
    }

    /// <summary>As reclaim does it: what costs least first, and no more once pages came back.</summary>
    internal void ExpireOnce()
    {
        long freed = _pageAllocator.FreedPages;
        _engine.Expire();
        if (_pageAllocator.FreedPages == freed)
        {
            Reap();
        }
    }

    /// <summary>Allocations and frees by how far they went: those that a queue served at once, and all others.</summary>
    internal (long Allocs, long SlowAllocs, long Frees, long SlowFrees) Hits()
    {
        (long Allocs, long SlowAllocs, long Frees, long SlowFrees) hits = (0, Katomic.Load(ref _slowAllocs), 0, Katomic.Load(ref _slowFrees));
        foreach (Magazine m in _magazines)
        {
            hits.Allocs += m.Allocs - m.Refills;
            hits.SlowAllocs += m.Refills;
            hits.Frees += m.Frees - m.Flushes;
            hits.SlowFrees += m.Flushes;
        }

        return hits;
    }

    /// <summary>Empties the queues that nobody is in.</summary>
    /// <returns>Was anything in them?</returns>
    internal bool FlushQueues()
    {
        Kthread self = Kthread.Current;
        bool any = false;
        foreach (Magazine magazine in _magazines)
        {
            if (magazine.Count > 0 && magazine.TryEnter(self, contends: false))
            {
                any |= magazine.Count > 0;
                _engine.Flush(magazine, magazine.Count, toSlabs: true);
                magazine.Leave();
            }
        }

        return any;
    }

    /// <summary>The system has ended, and the memory of the queues with it.</summary>
    internal void Forget()
    {
        foreach (Magazine magazine in _magazines)
        {
            magazine.Owner = null;
            magazine.Count = 0;
            magazine.Capacity = 0;
            magazine.Objects = null;
        }
    }

    private void DropQueues()
    {
        foreach (Magazine magazine in _magazines)
        {
            Enter(magazine);
            _engine.Flush(magazine, magazine.Count, toSlabs: true);
            Exchange(magazine, null, 0);
            magazine.Leave();
        }
    }

    private void Replace(Magazine magazine, int size, int batch, bool resized)
    {
        byte** array = resized && size > 0 ? _system.QueueMemory.Alloc(size, KmFlags.Sleep) : null;
        Enter(magazine);
        magazine.Batch = batch;
        if (resized)
        {
            if (magazine.Count > size)
            {
                _engine.Flush(magazine, magazine.Count - size, toSlabs: true);
            }

            new ReadOnlySpan<nint>(magazine.Objects, magazine.Count).CopyTo(new Span<nint>(array, size));
            int count = magazine.Count;
            Exchange(magazine, array, size);
            magazine.Count = count;
        }

        magazine.Leave();
    }

    /// <summary>Takes the lock of a queue. Whoever has it keeps it for the time of a few object moves.</summary>
    private static void Enter(Magazine magazine)
    {
        Kthread self = Kthread.Current;
        while (!magazine.TryEnter(self, contends: false))
        {
            Kthread.Sleep(ResizeWaitNs);
        }
    }

    private void Exchange(Magazine magazine, byte** array, int capacity)
    {
        byte** old = magazine.Objects;
        int oldCapacity = magazine.Capacity;
        magazine.Objects = array;
        magazine.Capacity = capacity;
        magazine.Count = 0;
        if (old != null)
        {
            _system.QueueMemory.Free(old, oldCapacity);
        }
    }

    private byte* Refill(Magazine magazine)
    {
        if (magazine.Capacity == 0 && _queueSize > 0)
        {
            _ = TryMake(magazine);
        }

        byte* obj = _engine.Refill(magazine);
        if (obj != null)
        {
            magazine.Allocs++;
            magazine.Refills++;
        }

        return obj;
    }

    /// <summary>Room for one more object in a queue that is full. The caller has entered it.</summary>
    private bool MakeRoom(Magazine magazine)
    {
        if (magazine.Capacity == 0)
        {
            return TryMake(magazine);
        }

        magazine.Flushes++;
        _engine.Flush(magazine, Math.Min(magazine.Batch, magazine.Count), toSlabs: false);
        return true;
    }

    private bool TryMake(Magazine magazine)
    {
        int size = _queueSize;
        byte** array = size > 0 ? _system.QueueMemory.Alloc(size, KmFlags.NoSleep) : null;
        if (array == null)
        {
            return false;
        }

        magazine.Objects = array;
        magazine.Capacity = size;
        return true;
    }

    private KmemCacheStats WithQueues(KmemCacheStats stats)
    {
        long cached = 0;
        long allocs = Katomic.Load(ref _slowAllocs);
        long frees = Katomic.Load(ref _slowFrees);
        long refills = 0;
        foreach (Magazine m in _magazines)
        {
            cached += m.Count;
            allocs += m.Allocs;
            frees += m.Frees;
            refills += m.Refills;
        }

        return stats with
        {
            ObjectsInMagazines = cached,
            ObjectsAllocated = allocs - frees,
            Allocs = allocs,
            Frees = frees,
            Refills = refills,
        };
    }
}
