using System.Runtime.CompilerServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The page allocator: the fast path above the low watermark, and the slow path of a kernel. Below low it wakes kswapd;
/// below min an ordinary allocation reclaims in its own thread (<see cref="Reclaimer"/>), one with __GFP_HIGH goes on to half
/// of min, and under policy fstrans to an eighth if its thread is of the sync path, a reclaimer (PF_MEMALLOC) to the bottom. With
/// several nodes the own one is asked first, then the others, before either goes further down. A sleeping
/// allocation never fails: between rounds it waits for memory, on the record; if nothing at all is given back for
/// <see cref="KmemOptions.OomTimeoutNs"/> it throws.
/// </summary>
internal sealed unsafe class PageAllocator
{
    /// <summary>Not enough free pages above the mark.</summary>
    internal const int NoMemory = -1;

    /// <summary>Enough pages, but no contiguous block: the caller may scatter.</summary>
    internal const int Fragmented = -2;

    private const int FreeRounds = 8;
    private const long MinWaitNs = 1_000_000;
    private const long MaxWaitNs = 50_000_000;
    private const int WarnRounds = 16;

    private readonly KmemSystem _system;
    private readonly MemoryNode[] _nodes;
    private readonly Kmutex _waitLock = new("kmem_wait");
    private readonly Kcondvar _freed = new("memory");
    private readonly int _pagesPerNode;
    private int _waiters;
    private readonly WarnLimit _warnLimit = new();

    internal PageAllocator(KmemSystem system, ArenaMapping mapping)
    {
        _system = system;
        Mapping = mapping;
        Marks = Watermarks.Compute(mapping.ArenaPages, system.Options.MinFreeBytes);
        _nodes = new MemoryNode[system.Options.Nodes];
        _pagesPerNode = mapping.ArenaPages / _nodes.Length;
        if (_nodes.Length > 1)
        {
            _pagesPerNode &= -MemoryNode.MaxPages;
        }

        for (int i = 0; i < _nodes.Length; i++)
        {
            int start = i * _pagesPerNode;
            int count = i == _nodes.Length - 1 ? mapping.ArenaPages - start : _pagesPerNode;
            _nodes[i] = new MemoryNode(mapping.Pages, start, count, Marks.Share(count, mapping.ArenaPages));
        }
    }

    /// <summary>The address space.</summary>
    internal ArenaMapping Mapping { get; }

    /// <summary>Watermarks of all nodes together.</summary>
    internal Watermarks Marks { get; }

    /// <summary>The nodes.</summary>
    internal ReadOnlySpan<MemoryNode> Nodes => _nodes;

    /// <summary>
    /// What masks may have now: while the system is being made, nothing that sleeps or wakes a thread. Looked at where pages run
    /// short, and nowhere before.
    /// </summary>
    internal GfpMask AllowedGfp { get; set; } = GfpMask.High;

    /// <summary>Free pages, a guess.</summary>
    internal int FreePages
    {
        get
        {
            int free = 0;
            foreach (MemoryNode node in _nodes)
            {
                free += node.FreePages;
            }

            return free;
        }
    }

    /// <summary>Pages freed over all time, a guess.</summary>
    internal long FreedPages
    {
        get
        {
            long freed = 0;
            foreach (MemoryNode node in _nodes)
            {
                freed += node.FreedPages;
            }

            return freed;
        }
    }

    /// <summary>Is a thread waiting for memory?</summary>
    internal bool HasWaiters => Katomic.Load(ref _waiters) != 0;

    /// <summary>May the thread take every page there is (PF_MEMALLOC)? What it takes from below min is tagged.</summary>
    internal static bool MayUseAll(Kthread self) =>
        (self.Flags & (ThreadFlags.Memalloc | ThreadFlags.InReclaim)) != 0 && (self.Flags & ThreadFlags.NoMemalloc) == 0;

    /// <summary>The node of a virtual CPU.</summary>
    internal int NodeOfCpu(int cpu) => _nodes.Length == 1 ? 0 : cpu % _nodes.Length;

    /// <summary>The node of an arena page.</summary>
    internal int NodeOf(int page) => _nodes.Length == 1 ? 0 : Math.Min(page / _pagesPerNode, _nodes.Length - 1);

    /// <summary>Contiguous pages of one node, if it stays above low.</summary>
    internal int TryNode(int node, int pages) => _nodes[node].TryAlloc(pages, _nodes[node].Marks.Low, tagged: false);

    /// <summary>One attempt at contiguous pages, at the marks that mask and thread allow. Wakes kswapd, never sleeps.</summary>
    internal int Try(int pages, GfpMask gfp, Kthread self)
    {
        int own = NodeOfCpu(self.Cpu);
        int result = NoMemory;
        for (int i = 0; i < _nodes.Length; i++)
        {
            int node = (own + i) % _nodes.Length;
            int page = TryNode(node, pages);
            if (page >= 0)
            {
                return page;
            }

            result = Math.Min(result, page);
        }

        return result == Fragmented ? Fragmented : TryBelowLow(pages, own, gfp & AllowedGfp, self);
    }

    /// <summary>Contiguous pages.</summary>
    /// <returns>First page; <see cref="Fragmented"/>; or <see cref="NoMemory"/> if the mask does not allow sleeping.</returns>
    internal int Alloc(int pages, GfpMask gfp, Kthread self)
    {
        Stall stall = default;
        while (true)
        {
            int page = Try(pages, gfp, self);
            if (page != NoMemory)
            {
                EndStall(ref stall);
                return page;
            }

            if (!Retry(ref stall, pages, gfp, self))
            {
                return NoMemory;
            }
        }
    }

    /// <summary>After <see cref="NoMemory"/>: reclaims and, when that gave nothing, waits.</summary>
    /// <returns>False if the mask does not allow sleeping; otherwise try again.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)] // A stack in a report shall name it.
    internal bool Retry(ref Stall stall, int pages, GfpMask gfp, Kthread self)
    {
        gfp &= AllowedGfp;
        if ((gfp & GfpMask.DirectReclaim) == 0)
        {
            Katomic.Increment(ref _system.Counters.Failures);
            return false;
        }

        if (stall.Rounds++ == 0)
        {
            stall.StartNs = stall.ProgressNs = Kclock.NowNs;
            stall.FreedSeen = FreedPages;
            Katomic.Increment(ref _system.Counters.Stalls);
            if (Gfp.IsMarked(_system.Policy, self.Flags))
            {
                Katomic.Increment(ref _system.Counters.TurnedAway);
            }
        }

        long progress = Reclaimer.InReclaim(self) ? 0 : _system.Reclaimer.Direct(Gfp.Scope(gfp, _system.Policy, self.Flags), pages, self);
        if (progress == 0 || stall.Rounds > FreeRounds)
        {
            WaitForMemory(ref stall, pages, gfp, self);
        }

        return true;
    }

    /// <summary>The allocation has its pages, or no longer needs them.</summary>
    internal void EndStall(ref Stall stall)
    {
        if (stall.Rounds != 0)
        {
            Katomic.Add(ref _system.Counters.StallNs, Kclock.NowNs - stall.StartNs);
        }
    }

    /// <summary>Gives pages back and wakes those who wait for memory.</summary>
    internal void Free(int page, int pages, int described = int.MaxValue)
    {
        if (_system.Options.Poison)
        {
            Poison.FillFree(Mapping.Address(page), (long)pages << ArenaMapping.PageShift);
        }

        _nodes[NodeOf(page)].Free(page, pages, described);
        Signal();
    }

    /// <summary>Gives slabs of one node back, by their first pages, and wakes those who wait for memory.</summary>
    internal void Free(int node, ReadOnlySpan<int> heads, int described)
    {
        if (_system.Options.Poison)
        {
            foreach (int head in heads)
            {
                Poison.FillFree(Mapping.Address(head), (long)Mapping.Pages[head].Pages << ArenaMapping.PageShift);
            }
        }

        _nodes[node].Free(heads, described);
        Signal();
    }

    /// <summary>Wakes those who wait for memory: something was given back.</summary>
    internal void Signal()
    {
        if (Katomic.Load(ref _waiters) != 0)
        {
            _waitLock.Enter();
            _freed.Broadcast();
            _waitLock.Exit();
        }
    }

    private int TryBelowLow(int pages, int own, GfpMask gfp, Kthread self)
    {
        if ((gfp & GfpMask.KswapdReclaim) != 0)
        {
            _system.Kswapd.Wake();
        }

        bool tagged = MayUseAll(self);
        int result = NoMemory;
        for (int i = 0; i < _nodes.Length; i++)
        {
            MemoryNode node = _nodes[(own + i) % _nodes.Length];
            int page = node.TryAlloc(pages, MarkFor(node.Marks.Min, gfp, self), tagged);
            if (page >= 0)
            {
                return page;
            }

            result = Math.Min(result, page);
        }

        return result;
    }

    /// <summary>Would an allocation find so many pages on some node now?</summary>
    private bool MayFind(int pages, GfpMask gfp, Kthread self)
    {
        foreach (MemoryNode node in _nodes)
        {
            if (node.FreePages - pages >= MarkFor(node.Marks.Min, gfp, self))
            {
                return true;
            }
        }

        return false;
    }

    private int MarkFor(int min, GfpMask gfp, Kthread self)
    {
        if (MayUseAll(self))
        {
            return 0;
        }

        if ((gfp & GfpMask.High) == 0)
        {
            return min;
        }

        // Transactions wait for the sync path, never the other way round once they are assigned: it has a part of its own.
        bool last = _system.Policy == KmemPolicy.Fstrans && (self.Flags & ThreadFlags.SyncPath) != 0;
        return last ? min / 8 : min - (min / 2);
    }

    private void WaitForMemory(ref Stall stall, int pages, GfpMask gfp, Kthread self)
    {
        long now = Kclock.NowNs;
        long wait = Math.Min(MinWaitNs << Math.Min(stall.Rounds, 16), MaxWaitNs);
        _waitLock.Enter();
        Katomic.Increment(ref _waiters);
        if (!MayFind(pages, gfp, self))
        {
            _freed.WaitUntil(_waitLock, now + wait, MemoryWait.Instance);
        }

        Katomic.Decrement(ref _waiters);
        _waitLock.Exit();

        now = Kclock.NowNs;
        long freed = FreedPages;
        if (freed != stall.FreedSeen)
        {
            stall.FreedSeen = freed;
            stall.ProgressNs = now;
        }
        else if (now - stall.ProgressNs >= _system.Options.OomTimeoutNs)
        {
            EndStall(ref stall);
            throw new KmemExhaustedException(Describe("out of memory: nothing was given back for", now - stall.ProgressNs, pages, gfp, self));
        }

        if (stall.Rounds % WarnRounds == 0)
        {
            Warn(pages, gfp, self, now - stall.StartNs);
        }
    }

    private void Warn(int pages, GfpMask gfp, Kthread self, long stalledNs)
    {
        Katomic.Increment(ref _system.Counters.Warnings);
        if (_system.Options.Warn is not null && _warnLimit.Admit())
        {
            _system.Options.Warn?.Invoke(Describe("allocation stalled for", stalledNs, pages, gfp, self));
        }
    }

    private string Describe(string what, long ns, int pages, GfpMask gfp, Kthread self) =>
        $"{what} {ns / 1_000_000} ms; thread {self} wants {pages} pages with {gfp}, marks {self.Flags}; "
        + $"{FreePages} of {Mapping.ArenaPages} pages free, min {Marks.Min}, low {Marks.Low}, high {Marks.High}; policy {_system.Policy}";
}
