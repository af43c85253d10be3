using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <content>kmem_cache_reap_now.</content>
internal sealed unsafe partial class SplEngine
{
    private readonly ReapWait _reapWait;
    private readonly Kcondvar _reaped = new("spl_cache_reaped");
    private Kthread? _reaper;

    /// <summary>KMC_BIT_REAPING. A guess.</summary>
    internal bool IsReaping => _reaper is not null;

    /// <summary>Reaps, unless somebody is at it: the callback while it gets anywhere, the magazine of this CPU, empty slabs.</summary>
    /// <param name="cache">The cache in front.</param>
    /// <param name="slabs">Empty slabs to free at most.</param>
    /// <returns>Objects of freed slabs and emergency objects that went.</returns>
    internal long ReapNow(KmemCache cache, int slabs)
    {
        _lock.Enter();
        bool first = _reaper is null;
        if (first)
        {
            _reaper = Kthread.Current;
        }

        long before = _objectTotal;
        _lock.Exit();
        if (!first)
        {
            return 0;
        }

        try
        {
            while (cache.ReclaimCallback is { } callback && WorthAsking(out long outBefore))
            {
                callback();
                if (_objectOut >= outBefore)
                {
                    break;
                }
            }

            if ((System.Options.Spl.Expire & SplExpire.Mem) != 0)
            {
                cache.FlushLocal();
            }

            ReclaimSlabs(slabs);
        }
        finally
        {
            _lock.Enter();
            _reaper = null;
            _reaped.Broadcast();
            _lock.Exit();
        }

        return Math.Max(0, before - _objectTotal);
    }

    /// <summary>There are slabs, and none of them is empty.</summary>
    private bool WorthAsking(out long objectsOut)
    {
        _lock.Enter();
        objectsOut = _objectOut;
        bool worth = _objectTotal > 0 && _slabAlloc == _slabTotal;
        _lock.Exit();
        return worth;
    }

    /// <summary>
    /// Waits while another thread reaps: what it frees will do, and it may need this CPU. A thread in reclaim goes on: two that reap a
    /// cache each, and allocate from the other's, would wait for one another. Under fstrans anybody goes on who has waited as long as for
    /// a growth: a marked thread may hold a lock that the callback of an unmarked reaper wants.
    /// </summary>
    /// <returns>True: look again (EAGAIN).</returns>
    private bool WaitForReaper(Kthread self)
    {
        if (_reaper is null || Reclaimer.InReclaim(self))
        {
            return false;
        }

        long deadlineNs = _rules.Final ? Kclock.NowNs + System.Options.Spl.GrowTimeoutNs : long.MaxValue;
        _lock.Enter();
        bool waited = false;
        while (_reaper is { } reaper && !ReferenceEquals(reaper, self))
        {
            waited = _reaped.WaitUntil(_lock, deadlineNs, _reapWait) || _reaper is null;
            if (!waited)
            {
                break;
            }
        }

        _lock.Exit();
        return waited;
    }

    private sealed class ReapWait(SplEngine engine) : IWaitable
    {
        public string WaitName => $"reaping of cache {engine.Name}";

        public void CollectOwners(ICollection<Kthread> owners)
        {
            if (engine._reaper is { } reaper)
            {
                owners.Add(reaper);
            }
        }
    }
}
