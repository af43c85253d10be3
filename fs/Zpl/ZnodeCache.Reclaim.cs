using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>Giving znodes back: the shrinker, the limit, and the inactive queue.</summary>
/// <remarks>
/// <para>An unused znode with a clean access time is simply dropped. One with a dirty access time (atime=on, and it was read)
/// must first be written, and that takes a transaction. Who may open one?</para>
/// <para>Policies none and txcookie: the reclaiming thread itself, if its allocation allowed it to enter the file system
/// (<see cref="ShrinkControl.MayEnterFs"/>). It assigns a transaction and waits for it. If the allocation was made inside another
/// transaction, of a txg that has to sync before this one can be assigned, the thread waits for itself: the recursive
/// transaction that this design had in its history. It is meant to be here.</para>
/// <para>Policy fstrans: nobody in reclaim, kswapd included (a thread inside a transaction may be waiting for kswapd's
/// pages). The znode goes to the inactive queue, at most <see cref="InactiveMax"/> long; a marked worker takes from it, writes
/// and drops. When the queue is full the znode stays where it is. The worker's own allocations can't come back here with leave to
/// enter the file system, and the transactions it waits for are open only as long as their threads, which have the reserve,
/// need.</para>
/// </remarks>
public sealed unsafe partial class ZnodeCache
{
    private readonly Kcondvar _inactiveWork = new("zfs_inactive");
    private readonly IdleWait _inactiveIdle = new("work in the inactive queue");
    private Kthread? _inactiveThread;
    private Znode? _inactiveHead;
    private Znode? _inactiveTail;
    private int _inactiveCount;
    private bool _stopping;

    /// <summary>Longest inactive queue.</summary>
    public int InactiveMax { get; set; } = 1024;

    /// <inheritdoc/>
    public string Name => "zfs_znode_cache";

    /// <inheritdoc/>
    public long Count(in ShrinkControl control) => _lruCount;

    /// <inheritdoc/>
    public long Scan(in ShrinkControl control, long toScan)
    {
        // Under fstrans even an unmarked thread does not wait for a txg in here: the page that it is asked for may be the one that the
        // txg needs.
        bool inPlace = control.MayEnterFs && KmemSystem.Current.Policy != KmemPolicy.Fstrans;
        long freed = 0;
        for (long i = 0; i < toScan; i++)
        {
            if (!_mutex.TryEnter())
            {
                break;
            }

            Znode? z = _lruHead;
            if (z is null)
            {
                _mutex.Exit();
                break;
            }

            RemoveFromList(z);
            freed += Evict(z, inPlace) ? 1 : 0;
        }

        return freed;
    }

    internal void StartWorker() => _inactiveThread = Kthread.Start("zfs_inactive", Serve);

    /// <summary>Ends the worker; what is queued stays, and is written by <see cref="WriteAtimes"/>.</summary>
    internal void StopWorker()
    {
        if (_inactiveThread is { } worker)
        {
            _mutex.Enter();
            _stopping = true;
            _inactiveWork.Broadcast();
            _mutex.Exit();
            worker.Join();
            _inactiveThread = null;
        }
    }

    /// <summary>Evicts one unused znode that is in no list. Enters with the mutex, leaves without it.</summary>
    private bool Evict(Znode z, bool mayEnterFs)
    {
        if (z.Memory->AtimeDirty == 0)
        {
            _stats.EvictedClean++;
            Detach(z);
            _mutex.Exit();
            Release(z);
            return true;
        }

        if (mayEnterFs)
        {
            _stats.EvictedInReclaimWithTx++;
            return WriteAndDrop(z);
        }

        if (_inactiveThread is null || _inactiveCount >= InactiveMax)
        {
            _stats.InactiveQueueFull++;
            AppendLru(z);
        }
        else
        {
            _stats.HandedToInactiveQueue++;
            z.On = ZnodeList.Inactive;
            Append(ref _inactiveHead, ref _inactiveTail, z);
            _inactiveCount++;
            _inactiveWork.Signal();
        }

        _mutex.Exit();
        return false;
    }

    /// <summary>Inactive: writes the access time in a transaction, then drops the znode unless somebody wants it again.</summary>
    private bool WriteAndDrop(Znode z)
    {
        z.References++;
        _mutex.Exit();
        _owner.WriteAtime(z);
        _mutex.Enter();
        bool unused = z.References == 1 && z.Opens == 0 && !z.Unlinked && z.Memory->AtimeDirty == 0;
        if (!unused)
        {
            _mutex.Exit();
            Put(z);
            return false;
        }

        z.References = 0;
        Detach(z);
        _mutex.Exit();
        Release(z);
        return true;
    }

    /// <summary>Brings the number of unused znodes back to the limit. In open context, outside transactions.</summary>
    private void Trim()
    {
        _mutex.Enter();
        for (int i = 0; i < 16 && _lruCount > UnusedMax && _lruHead is { } z; i++)
        {
            RemoveFromList(z);
            Evict(z, false);
            _mutex.Enter();
        }

        _mutex.Exit();
    }

    private void Serve()
    {
        Kthread.Current.Flags |= Fstrans.WorkerFlags;
        _mutex.Enter();
        while (!_stopping)
        {
            if (_inactiveHead is not { } z)
            {
                _inactiveWork.Wait(_mutex, _inactiveIdle);
                continue;
            }

            RemoveFromList(z);
            bool dropped = WriteAndDrop(z);
            _mutex.Enter();
            _stats.InactiveDrained += dropped ? 1 : 0;
        }

        _mutex.Exit();
    }
}
