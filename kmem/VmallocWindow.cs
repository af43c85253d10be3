using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// vmalloc: scattered physical runs mapped contiguously in the window behind the arena. Each mapping is charged with page-table
/// pages of its own. Under the policies of history those are allocated with GFP_KERNEL whatever the caller asked: the kernel's
/// fault of 2012. Only the caller's mark, enforced in the page allocator, keeps them from entering the file system. Under fstrans
/// they take the caller's mask, reserve included, or the sync path could starve here; and a mask that doesn't allow sleeping fails
/// where it would have to wait.
/// </summary>
internal sealed class VmallocWindow
{
    /// <summary>Most mappings (runs) at a time; the host allows a process about 65,000.</summary>
    internal const int MaxMappings = 16384;

    private const int PagesPerTable = 512;
    private const long BudgetWaitNs = 10_000_000;

    private readonly KmemSystem _system;
    private readonly ArenaMapping _mapping;
    private readonly Kmutex _lock = new("kmem_vmalloc");
    private readonly BuddyAllocator _addresses;
    private long _mappings;

    internal VmallocWindow(KmemSystem system, ArenaMapping mapping)
    {
        _system = system;
        _mapping = mapping;
        _addresses = new BuddyAllocator(
            mapping.Pages,
            mapping.WindowStart,
            mapping.WindowPages,
            System.Numerics.BitOperations.Log2((uint)mapping.WindowPages));
    }

    /// <summary>Runs mapped now.</summary>
    internal long Mappings => _mappings;

    /// <summary>Pages of address space in use.</summary>
    internal int UsedPages => _mapping.WindowPages - _addresses.FreePages;

    /// <summary>Mappings made over all time.</summary>
    internal long Total { get; private set; }

    /// <summary>Window pages that were ever used, counted from its start.</summary>
    internal int HighestUsed { get; private set; }

    /// <summary>Maps scattered pages.</summary>
    /// <returns>First window page; <see cref="PageAllocator.NoMemory"/> if the mask does not allow sleeping.</returns>
    internal int Alloc(int pages, GfpMask gfp, Kthread self)
    {
        if (pages > _mapping.ArenaPages)
        {
            throw new ArgumentOutOfRangeException(nameof(pages), $"vmem_alloc of {pages} pages from an arena of {_mapping.ArenaPages}");
        }

        bool sleeps = (gfp & GfpMask.DirectReclaim) != 0;
        int at = TakeAddresses(pages, sleeps);
        if (at < 0)
        {
            return PageAllocator.NoMemory;
        }

        int runs = -1;
        int done = 0;
        bool mapped = false;
        try
        {
            mapped = TakeTables(pages, gfp, self, ref runs) && MapRuns(at, pages, ref done, gfp, self, ref runs);
        }
        finally
        {
            if (!mapped)
            {
                if (done > 0)
                {
                    _mapping.Unmap(at, done);
                }

                Drop(at, pages, runs);
            }
        }

        if (!mapped)
        {
            return PageAllocator.NoMemory;
        }

        _mapping.Pages[at].Runs = runs;
        _mapping.Pages[at].Reserve = PageAllocator.MayUseAll(self) && AnyReserve(runs);
        return at;
    }

    private bool TakeTables(int pages, GfpMask gfp, Kthread self, ref int runs)
    {
        int tables = (pages + PagesPerTable - 1) / PagesPerTable;
        GfpMask tableMask = _system.Policy == KmemPolicy.Fstrans ? gfp : GfpMask.Kernel;
        for (int i = 0; i < tables; i++)
        {
            int table = _system.Pages.Alloc(1, tableMask, self);
            if (table < 0)
            {
                return false;
            }

            AddRun(table, 0, PageKind.PageTable, ref runs);
        }

        return true;
    }

    private bool MapRuns(int at, int pages, ref int done, GfpMask gfp, Kthread self, ref int runs)
    {
        bool sleeps = (gfp & GfpMask.DirectReclaim) != 0;
        int order = MemoryNode.MaxOrder;
        Stall stall = default;
        while (done < pages)
        {
            order = Math.Min(order, System.Numerics.BitOperations.Log2((uint)(pages - done)));
            int run = _system.Pages.Try(1 << order, gfp, self);
            if (run >= 0)
            {
                if (!TakeMapping(sleeps))
                {
                    _system.Pages.Free(run, 1 << order);
                    return false;
                }

                AddRun(run, order, PageKind.VmallocRun, ref runs);
                _mapping.MapRun(at + done, run, 1 << order);
                done += 1 << order;
            }
            else if (order > 0)
            {
                order--;
            }
            else
            {
                if (!_system.Pages.Retry(ref stall, 1, gfp, self))
                {
                    return false;
                }
            }
        }

        _system.Pages.EndStall(ref stall);
        return true;
    }

    /// <summary>Unmaps what Alloc gave and frees its pages.</summary>
    internal void Free(int at, int pages)
    {
        _mapping.Unmap(at, pages);
        Drop(at, pages, _mapping.Pages[at].Runs);
    }

    /// <summary>Gives back runs and addresses that are mapped no more.</summary>
    private void Drop(int at, int pages, int run)
    {
        int mappings = 0;
        while (run >= 0)
        {
            int next = _mapping.Pages[run].Next;
            mappings += _mapping.Pages[run].Kind == PageKind.VmallocRun ? 1 : 0;
            _system.Pages.Free(run, 1 << _mapping.Pages[run].Order);
            run = next;
        }

        Katomic.Add(ref _mappings, -mappings);
        _lock.Enter();
        _addresses.Free(at, pages);
        _lock.Exit();
    }

    /// <summary>Ends the use of the window's descriptors.</summary>
    internal void Forget() => _addresses.Forget();

    private int TakeAddresses(int pages, bool sleeps)
    {
        long deadline = Kclock.NowNs + _system.Options.OomTimeoutNs;
        while (true)
        {
            _lock.Enter();
            int at = _addresses.Alloc(pages);
            if (at >= 0)
            {
                Total++;
                HighestUsed = Math.Max(HighestUsed, at + pages - _mapping.WindowStart);
            }

            _lock.Exit();
            if (at >= 0 || !sleeps)
            {
                return at;
            }

            WaitForBudget(deadline);
        }
    }

    private bool TakeMapping(bool sleeps)
    {
        long deadline = Kclock.NowNs + _system.Options.OomTimeoutNs;
        while (Katomic.Increment(ref _mappings) > MaxMappings)
        {
            Katomic.Decrement(ref _mappings);
            if (!sleeps)
            {
                return false;
            }

            WaitForBudget(deadline);
        }

        return true;
    }

    private void WaitForBudget(long deadlineNs)
    {
        if (Kclock.NowNs >= deadlineNs)
        {
            throw new KmemExhaustedException($"vmalloc: no addresses or mappings left; {UsedPages} pages in {Mappings} mappings");
        }

        Kthread.Sleep(BudgetWaitNs);
    }

    private bool AnyReserve(int run)
    {
        while (run >= 0 && !_mapping.Pages[run].Reserve)
        {
            run = _mapping.Pages[run].Next;
        }

        return run >= 0;
    }

    private void AddRun(int page, int order, PageKind kind, ref int runs)
    {
        ref PageDesc d = ref _mapping.Pages[page];
        d.Kind = kind;
        d.Order = (byte)order;
        d.Next = runs;
        runs = page;
    }
}
