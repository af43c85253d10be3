using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>A node: a range of arena pages with its buddy system, watermarks and lock.</summary>
internal sealed class MemoryNode(PageDesc[] pages, int start, int count, Watermarks marks)
{
    /// <summary>Largest order of a node: 4 MiB blocks.</summary>
    internal const int MaxOrder = 10;

    /// <summary>Largest contiguous allocation, in pages.</summary>
    internal const int MaxPages = 1 << MaxOrder;

    private readonly Kmutex _lock = new("kmem_node");
    private readonly BuddyAllocator _buddy = new(pages, start, count, MaxOrder);

    /// <summary>Watermarks.</summary>
    internal Watermarks Marks { get; } = marks;

    /// <summary>Pages of the node.</summary>
    internal int TotalPages { get; } = count;

    /// <summary>Free pages: exact under the lock, a good guess without.</summary>
    internal int FreePages => _buddy.FreePages;

    /// <summary>The fewest free pages there have been.</summary>
    internal int LowestFree { get; private set; } = count;

    /// <summary>Allocations that went below min, and their pages.</summary>
    internal long ReserveEvents { get; private set; }

    /// <summary>Pages taken from below min.</summary>
    internal long ReservePages { get; private set; }

    /// <summary>Pages given back, over all time.</summary>
    internal long FreedPages { get; private set; }

    /// <summary>For tests: told, by the thread that takes pages from below min and under the node's lock, the first page and how
    /// many stay free.</summary>
    internal Action<MemoryNode, int, int>? Watch { get; set; }

    /// <summary>Free blocks of an order.</summary>
    internal int Blocks(int order) => _buddy.Blocks(order);

    /// <summary>Takes contiguous pages if <paramref name="mark"/> pages stay free.</summary>
    /// <param name="pageCount">How many.</param>
    /// <param name="mark">Pages that must stay free.</param>
    /// <param name="tagged">If it goes below min, tag the first page as reserve.</param>
    /// <returns>First page, <see cref="PageAllocator.NoMemory"/> or <see cref="PageAllocator.Fragmented"/>.</returns>
    internal int TryAlloc(int pageCount, int mark, bool tagged = false)
    {
        _lock.Enter();
        int after = _buddy.FreePages - pageCount;
        int page = PageAllocator.NoMemory;
        if (after >= mark)
        {
            page = _buddy.Alloc(pageCount);
            if (page < 0)
            {
                page = PageAllocator.Fragmented;
            }
            else
            {
                LowestFree = Math.Min(LowestFree, after);
                if (after < Marks.Min)
                {
                    pages[page].Reserve = tagged;
                    ReserveEvents++;
                    ReservePages += Math.Min(pageCount, Marks.Min - after);
                    Watch?.Invoke(this, page, after);
                }
            }
        }

        _lock.Exit();
        return page;
    }

    /// <summary>Takes several allocations of contiguous pages at once, as long as <paramref name="mark"/> pages stay free.</summary>
    /// <param name="into">Where the first page of each goes.</param>
    /// <param name="pageCount">Pages of each.</param>
    /// <param name="mark">Pages that must stay free: min at least.</param>
    /// <returns>How many there are.</returns>
    internal int TryAlloc(Span<int> into, int pageCount, int mark)
    {
        int n = 0;
        _lock.Enter();
        while (n < into.Length && _buddy.FreePages - pageCount >= mark)
        {
            int page = _buddy.Alloc(pageCount);
            if (page < 0)
            {
                break;
            }

            into[n++] = page;
        }

        LowestFree = Math.Min(LowestFree, _buddy.FreePages);
        _lock.Exit();
        return n;
    }

    /// <summary>Gives slabs back.</summary>
    /// <param name="heads">Their first pages, whose descriptors say how many there are.</param>
    /// <param name="described">As for <see cref="BuddyAllocator.Free"/>.</param>
    internal void Free(ReadOnlySpan<int> heads, int described)
    {
        _lock.Enter();
        foreach (int head in heads)
        {
            int pageCount = pages[head].Pages;
            _buddy.Free(head, pageCount, described);
            FreedPages += pageCount;
        }

        _lock.Exit();
    }

    /// <summary>Gives pages back.</summary>
    internal void Free(int page, int pageCount, int described)
    {
        _lock.Enter();
        _buddy.Free(page, pageCount, described);
        FreedPages += pageCount;
        _lock.Exit();
    }
}
