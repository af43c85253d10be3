using System.Numerics;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <content>What is off the path of allocations: flags, giving memory back, aging, naming what is left at the end.</content>
public sealed unsafe partial class KmemCache
{
    private const KmemCacheFlags Refused =
        ~(KmemCacheFlags.NoTouch | KmemCacheFlags.NoDebug | KmemCacheFlags.NoMagazine | KmemCacheFlags.Kmem | KmemCacheFlags.Vmem
            | KmemCacheFlags.Slab | KmemCacheFlags.OffSlab | KmemCacheFlags.NoEmergency);

    private const int NamedAtDestroy = 8;
    private const long AgeNs = 15_000_000_000;

    private Aging? _aging;

    /// <summary>skc_reclaim, or null.</summary>
    internal Action? ReclaimCallback { get; }

    /// <summary>The SPL engine behind it, or null.</summary>
    internal SplEngine? Spl => _spl;

    /// <summary>Objects out of their slabs, those in queues included, a guess.</summary>
    internal long ObjectsOut => _spl?.ObjectsOut ?? _engine.Statistics().ObjectsOut;

    /// <summary>KMC_* flags, with the kind of slabs that was chosen.</summary>
    private KmemCacheFlags ShownFlags => _engine.Flags | (_spl is not null
        ? _spl.Geometry.Mapped ? KmemCacheFlags.Vmem : KmemCacheFlags.Kmem
        : _system.Options.SlabEngine == SlabEngineKind.Spl ? KmemCacheFlags.Slab : KmemCacheFlags.None);

    /// <summary>
    /// kmem_cache_reap_now: gives back what is in magazines and empty slabs. Of a cache of the SPL engine: has the callback free
    /// objects while that gets anywhere, flushes this CPU's magazine; does nothing if another thread is at it.
    /// </summary>
    public void Reap()
    {
        if (_spl is not null)
        {
            _ = _spl.ReapNow(this, int.MaxValue);
            return;
        }

        ReclaimCallback?.Invoke();
        Drain();
    }

    /// <summary>Flushes all queues, those that are just in use excepted, and frees empty slabs.</summary>
    internal void Drain()
    {
        _ = FlushQueues();
        _engine.Shrink();
    }

    /// <summary>Reclaim has found no empty slab: flushes the queues of all CPUs; of a cache of the SPL engine only that of this CPU, as
    /// long as nobody waits for memory.</summary>
    /// <returns>Was anything in them?</returns>
    internal bool FlushForReclaim()
    {
        if (_spl is null || _pageAllocator.HasWaiters)
        {
            return FlushQueues();
        }

        return (_system.Options.Spl.Expire & SplExpire.Mem) != 0 && FlushLocal();
    }

    /// <summary>Flushes the queue of the calling thread's CPU.</summary>
    /// <returns>Was anything in it?</returns>
    internal bool FlushLocal()
    {
        Kthread self = Kthread.Current;
        Magazine magazine = _magazines[self.Cpu];
        if (magazine.Count == 0 || !magazine.TryEnter(self, contends: false))
        {
            return false;
        }

        bool any = magazine.Count > 0;
        _engine.Flush(magazine, magazine.Count, toSlabs: true);
        magazine.Leave();
        return any;
    }

    /// <summary>A scan of the generic shrinker: the share of one cache. One of the host's allocator is only asked through its callback.</summary>
    /// <returns>Objects that went.</returns>
    internal long ReapShare(long toScan)
    {
        if (_spl is not null)
        {
            int fls = BitOperations.Log2((uint)_spl.Geometry.Objects) + 1;
            return _spl.ReapNow(this, (int)Math.Clamp(toScan >> fls, 1, int.MaxValue));
        }

        long before = ObjectsOut;
        ReclaimCallback!();
        return Math.Max(0, before - ObjectsOut);
    }

    private void StopReaping()
    {
        _system.Spl.Remove(this);
        StopAging();
    }

    /// <summary>Ends the aging of magazines.</summary>
    internal void StopAging()
    {
        if (_aging is not null)
        {
            Katomic.Store(ref _aging.Stopped, 1);

            // Twice: one that ran at the first may have queued itself again before it could see the order to stop.
            _system.Spl.Cancel(_aging);
            _system.Spl.Cancel(_aging);
        }
    }

    private static void CheckFlags(string name, KmemCacheFlags flags)
    {
        const KmemCacheFlags kinds = KmemCacheFlags.Kmem | KmemCacheFlags.Vmem | KmemCacheFlags.Slab;
        if ((flags & Refused) != 0)
        {
            throw new ArgumentException($"cache {name}: flags 0x{(int)flags:x} have bits that mean nothing here (0x{(int)(flags & Refused):x})", nameof(flags));
        }

        if (int.PopCount((int)(flags & kinds)) > 1)
        {
            throw new ArgumentException($"cache {name}: {flags & kinds}: one kind of slab is possible", nameof(flags));
        }
    }

    private void StartReaping()
    {
        if (_spl is null && (ReclaimCallback is null || _system.Options.SlabEngine != SlabEngineKind.Spl))
        {
            return;
        }

        _system.Spl.Add(this);
        if (_spl is not null && _queueSize > 0 && (_system.Options.Spl.Expire & SplExpire.Age) != 0)
        {
            _aging = new Aging(this);
            _system.Spl.DispatchAt(_aging, Kclock.NowNs + (AgeNs / 3));
        }
    }

    /// <summary>spl_magazine_age: half of each magazine that was not used for 15 s goes back.</summary>
    private void Age()
    {
        long now = Kclock.NowNs;
        Kthread self = Kthread.Current;
        foreach (Magazine magazine in _magazines)
        {
            if (!magazine.TryEnter(self, contends: false))
            {
                continue;
            }

            long uses = magazine.Allocs + magazine.Frees;
            if (uses != magazine.UsesSeen)
            {
                magazine.UsesSeen = uses;
                magazine.UsedAtNs = now;
            }
            else if (magazine.Count > 0 && now - magazine.UsedAtNs >= AgeNs)
            {
                _engine.Flush(magazine, Math.Min(magazine.Count, magazine.Batch), toSlabs: true);
            }

            magazine.Leave();
        }

        _spl!.AgeSlabs(AgeNs);
    }

    private string DescribeLive()
    {
        Span<nint> addresses = stackalloc nint[NamedAtDestroy];
        int found = _engine.FindLive(addresses);
        int left = _debug?.Left ?? 0;
        return found == 0 ? string.Empty : ": " + string.Join(", ", addresses[..found].ToArray().Select(a => $"0x{a + left:x}{_debug?.OwnerOf((byte*)a)}"));
    }

    /// <summary>The preallocated entry that ages the magazines every 5 s.</summary>
    private sealed class Aging(KmemCache cache) : TaskqEntry
    {
        internal int Stopped;

        protected internal override void Run()
        {
            cache.Age();
            if (Katomic.Load(ref Stopped) == 0)
            {
                cache._system.Spl.DispatchAt(this, Kclock.NowNs + (AgeNs / 3));
            }
        }
    }
}
