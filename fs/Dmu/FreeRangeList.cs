namespace ZfsLite.Fs;

/// <summary>The block ranges of one object that one txg frees. Few in practice: neighbours merge, and a truncation swallows the rest.</summary>
internal sealed class FreeRangeList
{
    private readonly List<(ulong First, ulong Last)> _ranges = [];

    internal bool IsEmpty => _ranges.Count == 0;

    internal IReadOnlyList<(ulong First, ulong Last)> Ranges => _ranges;

    internal void Add(ulong first, ulong last)
    {
        for (int i = _ranges.Count - 1; i >= 0; i--)
        {
            (ulong f, ulong l) = _ranges[i];
            bool touches = (f == 0 || last >= f - 1) && (l == ulong.MaxValue || first <= l + 1);
            if (touches)
            {
                first = Math.Min(first, f);
                last = Math.Max(last, l);
                _ranges.RemoveAt(i);
            }
        }

        _ranges.Add((first, last));
    }

    internal bool Contains(ulong block) => Contains(block, out _);

    /// <summary>Is the block in a range, and where does that range end?</summary>
    internal bool Contains(ulong block, out ulong last)
    {
        last = 0;
        foreach ((ulong f, ulong l) in _ranges)
        {
            if (block >= f && block <= l)
            {
                last = l;
                return true;
            }
        }

        return false;
    }

    internal void Clear() => _ranges.Clear();
}
