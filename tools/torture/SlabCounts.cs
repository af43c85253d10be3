namespace ZfsLite.Torture;

/// <summary>Sums over schedules.</summary>
internal sealed class SlabCounts
{
    private readonly long[] _values = new long[Enum.GetValues<SlabCount>().Length];

    internal long this[SlabCount what]
    {
        get => _values[(int)what];
        set => _values[(int)what] = value;
    }

    internal void Add(SlabCounts other)
    {
        for (int i = 0; i < _values.Length; i++)
        {
            _values[i] += other._values[i];
        }
    }

    /// <summary>By name, for a file.</summary>
    internal Dictionary<string, long> ToNames() =>
        Enum.GetValues<SlabCount>().ToDictionary(static c => c.ToString(), c => this[c], StringComparer.Ordinal);

    /// <summary>The reverse of <see cref="ToNames"/>; a name that is missing counts as 0.</summary>
    internal static SlabCounts FromNames(IReadOnlyDictionary<string, long> names)
    {
        var counts = new SlabCounts();
        foreach (SlabCount what in Enum.GetValues<SlabCount>())
        {
            counts[what] = names.GetValueOrDefault(what.ToString());
        }

        return counts;
    }
}
