namespace ZfsLite.Kmem;

/// <summary>
/// Emergency objects in the order of their addresses: a height-balanced tree whose nodes are the descriptors of their first pages
/// (Prev and Next are the subtrees, Order is the height), so that it allocates nothing. Guarded by the cache's lock.
/// </summary>
internal struct SplEngineTree(PageDesc[] pages)
{
    private int _root = -1;

    /// <summary>Objects in the tree.</summary>
    internal int Count { get; private set; }

    /// <summary>Levels of the tree.</summary>
    internal readonly int Height => HeightOf(_root);

    /// <summary>Adds a page. False: it is in the tree already.</summary>
    internal bool Add(int page)
    {
        if (Contains(page))
        {
            return false;
        }

        pages[page].Prev = pages[page].Next = -1;
        pages[page].Order = 1;
        _root = Add(_root, page);
        Count++;
        return true;
    }

    /// <summary>Takes a page out. False: it isn't in the tree.</summary>
    internal bool Remove(int page)
    {
        if (!Contains(page))
        {
            return false;
        }

        _root = Remove(_root, page);
        Count--;
        return true;
    }

    /// <summary>Is a page in the tree?</summary>
    internal readonly bool Contains(int page)
    {
        int at = _root;
        while (at >= 0 && at != page)
        {
            at = page < at ? pages[at].Prev : pages[at].Next;
        }

        return at >= 0;
    }

    /// <summary>The lowest page above <paramref name="page"/>; -1: there is none.</summary>
    internal readonly int After(int page)
    {
        int best = -1;
        for (int at = _root; at >= 0;)
        {
            if (at > page)
            {
                best = at;
                at = pages[at].Prev;
            }
            else
            {
                at = pages[at].Next;
            }
        }

        return best;
    }

    private readonly int HeightOf(int at) => at < 0 ? 0 : pages[at].Order;

    private readonly int Add(int at, int page)
    {
        if (at < 0)
        {
            return page;
        }

        if (page < at)
        {
            pages[at].Prev = Add(pages[at].Prev, page);
        }
        else
        {
            pages[at].Next = Add(pages[at].Next, page);
        }

        return Balance(at);
    }

    private readonly int Remove(int at, int page)
    {
        if (page < at)
        {
            pages[at].Prev = Remove(pages[at].Prev, page);
            return Balance(at);
        }

        if (page > at)
        {
            pages[at].Next = Remove(pages[at].Next, page);
            return Balance(at);
        }

        int left = pages[at].Prev;
        int right = pages[at].Next;
        if (left < 0 || right < 0)
        {
            return left < 0 ? right : left;
        }

        int next = right;
        while (pages[next].Prev >= 0)
        {
            next = pages[next].Prev;
        }

        int rest = Remove(right, next);
        pages[next].Prev = left;
        pages[next].Next = rest;
        return Balance(next);
    }

    private readonly int Balance(int at)
    {
        int lean = HeightOf(pages[at].Prev) - HeightOf(pages[at].Next);
        if (lean > 1)
        {
            int left = pages[at].Prev;
            if (HeightOf(pages[left].Prev) < HeightOf(pages[left].Next))
            {
                pages[at].Prev = TurnLeft(left);
            }

            return TurnRight(at);
        }

        if (lean < -1)
        {
            int right = pages[at].Next;
            if (HeightOf(pages[right].Next) < HeightOf(pages[right].Prev))
            {
                pages[at].Next = TurnRight(right);
            }

            return TurnLeft(at);
        }

        Measure(at);
        return at;
    }

    private readonly int TurnRight(int at)
    {
        int up = pages[at].Prev;
        pages[at].Prev = pages[up].Next;
        pages[up].Next = at;
        Measure(at);
        Measure(up);
        return up;
    }

    private readonly int TurnLeft(int at)
    {
        int up = pages[at].Next;
        pages[at].Next = pages[up].Prev;
        pages[up].Prev = at;
        Measure(at);
        Measure(up);
        return up;
    }

    private readonly void Measure(int at) => pages[at].Order = (byte)(1 + Math.Max(HeightOf(pages[at].Prev), HeightOf(pages[at].Next)));
}
