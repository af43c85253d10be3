using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>
/// A znode cache whose shrinker does what ZFS did: a closed znode with a dirty atime is written back in a transaction of its
/// own when it is evicted, in the thread that asked for memory. Under policy fstrans it is handed to a bounded queue
/// instead, which a marked worker drains.
/// </summary>
internal sealed unsafe class MiniZnodeCache : IShrinker
{
    private const int QueueLength = 32;
    private const int AtimeBytes = 4096;

    private readonly MiniPool _pool;
    private readonly ScenarioOptions _options;
    private readonly ScenarioCounters _counters;
    private readonly MiniZnode[] _files;

    // Guards the list, the queue and the znodes. Never held across an allocation or a transaction.
    private readonly Kmutex _lock = new("z_cache");
    private readonly Kcondvar _work = new("z_inactive");
    private readonly IdleWait _idle = new("a znode to inactivate (idle)");
    private readonly LinkedList<MiniZnode> _lru = new();
    private readonly Queue<MiniZnode> _inactive = new();
    private Kthread? _worker;
    private bool _stopping;

    internal MiniZnodeCache(MiniPool pool, ScenarioOptions options, ScenarioCounters counters)
    {
        _pool = pool;
        _options = options;
        _counters = counters;
        _files = [.. Enumerable.Range(1, options.Files).Select(static n => new MiniZnode(n))];
    }

    /// <inheritdoc/>
    public string Name => "znode cache";

    /// <inheritdoc/>
    public int BatchSize => 4;

    internal void Start()
    {
        Shrinkers.Register(this);
        if (_options.Policy == KmemPolicy.Fstrans)
        {
            _worker = Kthread.Start("z_inactive", Drain);
        }
    }

    /// <summary>Ends the worker and drops every znode.</summary>
    internal void Stop()
    {
        Shrinkers.Unregister(this);
        _lock.Enter();
        _stopping = true;
        _work.Broadcast();
        _lock.Exit();
        _worker?.Join();
        foreach (MiniZnode z in _files)
        {
            Forget(z);
        }
    }

    /// <summary>Reads a file: its record is cached, its atime is dirty afterwards.</summary>
    internal void Read(int file)
    {
        MiniZnode z = _files[file];
        Open(z);
        if (z.Data is null)
        {
            byte* data = KmemAllocator.VmemAlloc(_options.RecordBytes, KmFlags.Sleep);
            Kthread.Sleep(_options.DiskNs / 10);
            _lock.Enter();
            bool first = z.Data is null;
            if (first)
            {
                z.Data = data;
            }

            _lock.Exit();
            if (!first)
            {
                KmemAllocator.VmemFree(data, _options.RecordBytes);
            }
        }

        _lock.Enter();
        z.AtimeDirty = true;
        z.Opens--;
        List(z);
        _lock.Exit();
        Katomic.Increment(ref _counters.Reads);
    }

    /// <inheritdoc/>
    public long Count(in ShrinkControl control)
    {
        _lock.Enter();
        bool full = _options.Policy == KmemPolicy.Fstrans && _inactive.Count >= QueueLength;
        long n = full ? 0 : _lru.Count;
        _lock.Exit();
        return n;
    }

    /// <inheritdoc/>
    public long Scan(in ShrinkControl control, long toScan)
    {
        long freed = 0;
        bool stuck = false;
        for (long i = 0; i < toScan && !stuck; i++)
        {
            MiniZnode? z = TakeOldest(control.MayWaitForTx, out stuck);
            if (z is null)
            {
                continue;
            }

            if (z.AtimeDirty)
            {
                CountNested();
                Inactivate(z);
            }
            else
            {
                Katomic.Increment(ref _counters.EvictedClean);
            }

            Forget(z);
            freed++;
        }

        return freed == 0 && stuck ? IShrinker.Stop : freed;
    }

    private void Open(MiniZnode z)
    {
        _lock.Enter();
        z.Opens++;
        if (z.Listed)
        {
            z.Listed = false;
            _lru.Remove(z);
        }

        _lock.Exit();
    }

    private void List(MiniZnode z)
    {
        if (z.Opens == 0 && !z.Listed && z.Data is not null)
        {
            z.Listed = true;
            _lru.AddLast(z);
        }
    }

    /// <summary>The oldest evictable znode, held open; null with the znode handed to the queue; stuck if nothing can be done here.</summary>
    private MiniZnode? TakeOldest(bool mayWaitForTx, out bool stuck)
    {
        stuck = false;
        _lock.Enter();
        MiniZnode? z = _lru.First?.Value;
        if (z is null)
        {
            stuck = true;
        }
        else if (z.AtimeDirty && _options.Policy == KmemPolicy.Fstrans)
        {
            stuck = _inactive.Count >= QueueLength;
            if (!stuck)
            {
                Unlist(z);
                _inactive.Enqueue(z);
                _work.Signal();
                Katomic.Increment(ref _counters.HandedToQueue);
            }

            z = null;
        }
        else if (z.AtimeDirty && !mayWaitForTx)
        {
            stuck = true;
            z = null;
            Katomic.Increment(ref _counters.TurnedAway);
        }
        else
        {
            Unlist(z);
        }

        _lock.Exit();
        return z;
    }

    private void Unlist(MiniZnode z)
    {
        z.Listed = false;
        z.Opens++;
        _lru.Remove(z);
    }

    private void CountNested()
    {
        Katomic.Increment(ref _counters.EvictedInReclaim);
        if (WaitGraph.HeldTxgs(Kthread.Current).Count > 0)
        {
            Katomic.Increment(ref _counters.Nested);
        }
    }

    /// <summary>zfs_inactive: writes a dirty atime back, in a transaction that waits.</summary>
    private void Inactivate(MiniZnode z)
    {
        DmuTx tx = DmuTx.Create(_pool.Engine);
        tx.Hold(z);
        tx.HoldSpace(AtimeBytes);
        int error = tx.Assign(TxAssign.Wait);
        if (error != 0)
        {
            throw new InvalidOperationException($"atime of {z.HoldName}: errno {error}");
        }

        byte* record = KmemAllocator.Alloc(AtimeBytes, tx.AllocFlags);
        _pool.Dirty(tx, record, AtimeBytes);
        _lock.Enter();
        z.AtimeDirty = false;
        _lock.Exit();
        tx.Commit();
    }

    /// <summary>Lets go of a znode taken for eviction; frees its record unless it was opened or read meanwhile.</summary>
    private void Forget(MiniZnode z)
    {
        byte* data = null;
        _lock.Enter();
        if (z.Opens > 0)
        {
            z.Opens--;
        }

        if (z.Opens == 0 && (!z.AtimeDirty || _stopping))
        {
            data = z.Data;
            z.Data = null;
            if (z.Listed)
            {
                z.Listed = false;
                _lru.Remove(z);
            }
        }
        else
        {
            List(z);
        }

        _lock.Exit();
        if (data is not null)
        {
            KmemAllocator.VmemFree(data, _options.RecordBytes);
        }
    }

    /// <summary>The worker of the inactive queue: marked, so that its own allocations never come back here.</summary>
    private void Drain()
    {
        Kthread.Current.Flags |= Fstrans.WorkerFlags;
        _lock.Enter();
        while (true)
        {
            if (_inactive.TryDequeue(out MiniZnode? z))
            {
                _lock.Exit();
                Inactivate(z);
                Forget(z);
                _lock.Enter();
            }
            else if (_stopping)
            {
                break;
            }
            else
            {
                _work.Wait(_lock, _idle);
            }
        }

        _lock.Exit();
    }
}
