namespace ZfsLite.Fs;

/// <summary>
/// The block ranges of one object that one txg frees: sorted, neighbours merged. Kept in leaves of at most <see cref="LeafMax"/> ranges, so
/// that a change moves no more than one leaf, however many holes are punched in a txg.
/// </summary>
internal sealed class FreeRangeList
{
    internal const int LeafMax = 64;

    private readonly List<Leaf> _leaves = [];

    internal bool IsEmpty => _leaves.Count == 0;

    /// <summary>In ascending order; none touches the next.</summary>
    internal IEnumerable<(ulong First, ulong Last)> Ranges
    {
        get
        {
            foreach (Leaf leaf in _leaves)
            {
                for (int i = 0; i < leaf.Count; i++)
                {
                    yield return leaf.Items[i];
                }
            }
        }
    }

    internal void Add(ulong first, ulong last)
    {
        bool found = Find(first, out int leaf, out int at);
        if (found && (_leaves[leaf].Items[at].Last >= first || _leaves[leaf].Items[at].Last == first - 1))
        {
            first = _leaves[leaf].Items[at].First;
            last = Math.Max(last, _leaves[leaf].Items[at].Last);
            RemoveAt(leaf, ref at);
        }
        else if (found)
        {
            at++;
        }

        ulong end = last == ulong.MaxValue ? last : last + 1;
        while (true)
        {
            if (leaf < _leaves.Count && at == _leaves[leaf].Count)
            {
                leaf++;
                at = 0;
            }

            if (leaf == _leaves.Count || _leaves[leaf].Items[at].First > end)
            {
                break;
            }

            last = Math.Max(last, _leaves[leaf].Items[at].Last);
            end = last == ulong.MaxValue ? last : last + 1;
            RemoveAt(leaf, ref at);
        }

        Insert(leaf, at, (first, last));
    }

    internal bool Contains(ulong block) => Contains(block, out _);

    /// <summary>Is the block in a range, and where does that range end?</summary>
    internal bool Contains(ulong block, out ulong last)
    {
        last = 0;
        if (!Find(block, out int leaf, out int at) || _leaves[leaf].Items[at].Last < block)
        {
            return false;
        }

        last = _leaves[leaf].Items[at].Last;
        return true;
    }

    internal void Clear() => _leaves.Clear();

    /// <summary>The last range that begins at or before a block. False: none does; then the place is that of the first range.</summary>
    private bool Find(ulong block, out int leaf, out int at)
    {
        int low = 0;
        int high = _leaves.Count;
        while (low < high)
        {
            int mid = (low + high) / 2;
            (low, high) = _leaves[mid].Items[0].First <= block ? (mid + 1, high) : (low, mid);
        }

        leaf = Math.Max(0, low - 1);
        at = 0;
        if (low == 0)
        {
            return false;
        }

        Leaf found = _leaves[leaf];
        low = 0;
        high = found.Count;
        while (low < high)
        {
            int mid = (low + high) / 2;
            (low, high) = found.Items[mid].First <= block ? (mid + 1, high) : (low, mid);
        }

        at = low - 1;
        return true;
    }

    /// <summary>Takes a range out; <paramref name="at"/> is then the place of the next one, which may be past the leaf's end.</summary>
    private void RemoveAt(int leaf, ref int at)
    {
        Leaf l = _leaves[leaf];
        l.Count--;
        Array.Copy(l.Items, at + 1, l.Items, at, l.Count - at);
        if (l.Count == 0)
        {
            _leaves.RemoveAt(leaf);
            at = 0;
        }
    }

    private void Insert(int leaf, int at, (ulong First, ulong Last) range)
    {
        if (at == 0 && leaf > 0 && _leaves[leaf - 1].Count < LeafMax)
        {
            leaf--;
            at = _leaves[leaf].Count;
        }

        if (leaf == _leaves.Count)
        {
            _leaves.Add(new Leaf());
        }
        else if (_leaves[leaf].Count == LeafMax)
        {
            Split(ref leaf, ref at);
        }

        Leaf l = _leaves[leaf];
        if (l.Count == l.Items.Length)
        {
            Array.Resize(ref l.Items, l.Count * 2);
        }

        Array.Copy(l.Items, at, l.Items, at + 1, l.Count - at);
        l.Items[at] = range;
        l.Count++;
    }

    private void Split(ref int leaf, ref int at)
    {
        const int Half = LeafMax / 2;
        Leaf left = _leaves[leaf];
        var right = new Leaf { Items = new (ulong, ulong)[LeafMax], Count = LeafMax - Half };
        Array.Copy(left.Items, Half, right.Items, 0, right.Count);
        left.Count = Half;
        _leaves.Insert(leaf + 1, right);
        if (at > Half)
        {
            leaf++;
            at -= Half;
        }
    }

    private sealed class Leaf
    {
        internal (ulong First, ulong Last)[] Items = new (ulong, ulong)[4];
        internal int Count;
    }
}
