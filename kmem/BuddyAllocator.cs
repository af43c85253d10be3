using System.Numerics;

namespace ZfsLite.Kmem;

/// <summary>
/// A buddy system over a range of page indices: free blocks of 2^order pages, aligned to their size, one list per order; a
/// freed block merges with its buddy while that is free too. Not locked: the owner's lock guards it. Nothing depends on
/// addresses, so that the simulator sees the same blocks in every run.
/// </summary>
internal sealed class BuddyAllocator
{
    private readonly PageDesc[] _pages;
    private readonly int _start;
    private readonly int _end;
    private readonly int _maxOrder;
    private readonly int[] _heads;
    private readonly int[] _counts;

    /// <summary>Makes a buddy system with every page free. Blocks are aligned relative to <paramref name="start"/>.</summary>
    internal BuddyAllocator(PageDesc[] pages, int start, int count, int maxOrder)
    {
        _pages = pages;
        _start = start;
        _end = start + count;
        _maxOrder = maxOrder;
        _heads = new int[maxOrder + 1];
        _counts = new int[maxOrder + 1];
        Array.Fill(_heads, -1);

        // From the top down, so that the lowest addresses come first off the lists.
        int page = _end;
        while (page > start)
        {
            int order = Math.Min(maxOrder, BitOperations.TrailingZeroCount(page - start));
            page -= 1 << order;
            Push(page, order);
            FreePages += 1 << order;
        }
    }

    /// <summary>Free pages.</summary>
    internal int FreePages { get; private set; }

    /// <summary>Largest order.</summary>
    internal int MaxOrder => _maxOrder;

    /// <summary>Free blocks of an order.</summary>
    internal int Blocks(int order) => _counts[order];

    /// <summary>Takes <paramref name="count"/> contiguous pages; what the power of two has too many goes back. -1: no such block.</summary>
    internal int Alloc(int count)
    {
        int order = OrderFor(count);
        int o = order;
        while (o <= _maxOrder && _heads[o] < 0)
        {
            o++;
        }

        if (o > _maxOrder)
        {
            return -1;
        }

        int page = _heads[o];
        Remove(page, o);
        while (o > order)
        {
            o--;
            Push(page + (1 << o), o);
        }

        FreePages -= 1 << order;
        if (count != 1 << order)
        {
            Free(page + count, (1 << order) - count);
        }

        return page;
    }

    /// <summary>Gives back <paramref name="count"/> pages from <paramref name="page"/>.</summary>
    /// <param name="page">First page.</param>
    /// <param name="count">How many.</param>
    /// <param name="described">Of these, how many of the first have anything in their descriptors. What is clear is left alone: to look
    /// at 32 descriptors costs more than all the rest.</param>
    internal void Free(int page, int count, int described = int.MaxValue)
    {
        if (page < _start || count <= 0 || page + count > _end)
        {
            throw new InvalidOperationException($"freeing pages {page}+{count} outside {_start}..{_end}");
        }

        int end = page + count;
        int last = page + Math.Min(count, described);
        for (int i = page; i < last; i++)
        {
            if (_pages[i].Kind == PageKind.Free)
            {
                throw new InvalidOperationException($"page {i} is freed twice");
            }

            _pages[i].Kind = PageKind.None;
            _pages[i].Owner = 0;
            _pages[i].Reserve = false;
        }

        FreePages += count;
        while (page < end)
        {
            int order = Math.Min(_maxOrder, Math.Min(BitOperations.TrailingZeroCount(page - _start), BitOperations.Log2((uint)(end - page))));
            FreeBlock(page, order);
            page += 1 << order;
        }
    }

    /// <summary>Ends the use: clears the descriptors that say Free, so that another buddy system may use them.</summary>
    internal void Forget()
    {
        foreach (int head in _heads)
        {
            for (int page = head; page >= 0; page = _pages[page].Next)
            {
                _pages[page].Kind = PageKind.None;
            }
        }
    }

    /// <summary>Smallest order that holds <paramref name="count"/> pages.</summary>
    internal static int OrderFor(int count) => count <= 1 ? 0 : BitOperations.Log2((uint)(count - 1)) + 1;

    private void FreeBlock(int page, int order)
    {
        while (order < _maxOrder)
        {
            int buddy = _start + ((page - _start) ^ (1 << order));
            if (buddy + (1 << order) > _end || _pages[buddy].Kind != PageKind.Free || _pages[buddy].Order != order)
            {
                break;
            }

            Remove(buddy, order);
            page = Math.Min(page, buddy);
            order++;
        }

        Push(page, order);
    }

    private void Push(int page, int order)
    {
        int head = _heads[order];
        ref PageDesc d = ref _pages[page];
        d.Kind = PageKind.Free;
        d.Order = (byte)order;
        d.Prev = -1;
        d.Next = head;
        if (head >= 0)
        {
            _pages[head].Prev = page;
        }

        _heads[order] = page;
        _counts[order]++;
    }

    private void Remove(int page, int order)
    {
        ref PageDesc d = ref _pages[page];
        if (d.Prev >= 0)
        {
            _pages[d.Prev].Next = d.Next;
        }
        else
        {
            _heads[order] = d.Next;
        }

        if (d.Next >= 0)
        {
            _pages[d.Next].Prev = d.Prev;
        }

        d.Kind = PageKind.None;
        _counts[order]--;
    }
}
