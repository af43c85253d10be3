namespace ZfsLite.Torture;

/// <summary>Sums over crash schedules.</summary>
internal sealed class CrashCounts
{
    private readonly long[] _values = new long[Enum.GetValues<CrashCount>().Length];

    internal long this[CrashCount what]
    {
        get => _values[(int)what];
        set => _values[(int)what] = value;
    }

    internal void Add(CrashCounts other)
    {
        for (int i = 0; i < _values.Length; i++)
        {
            _values[i] += other._values[i];
        }
    }

    /// <summary>By name, for a file.</summary>
    internal Dictionary<string, long> ToNames() =>
        Enum.GetValues<CrashCount>().ToDictionary(static c => c.ToString(), c => this[c], StringComparer.Ordinal);

    /// <summary>The reverse of <see cref="ToNames"/>; a name that is missing counts as 0.</summary>
    internal static CrashCounts FromNames(IReadOnlyDictionary<string, long> names)
    {
        var counts = new CrashCounts();
        foreach (CrashCount what in Enum.GetValues<CrashCount>())
        {
            counts[what] = names.GetValueOrDefault(what.ToString());
        }

        return counts;
    }
}
