namespace ZfsLite.Torture;

/// <summary>Sums over images.</summary>
internal sealed class ImageCounts
{
    private readonly long[] _values = new long[Enum.GetValues<ImageCount>().Length];

    internal long this[ImageCount what]
    {
        get => _values[(int)what];
        set => _values[(int)what] = value;
    }

    /// <summary>By name, for a file.</summary>
    internal Dictionary<string, long> ToNames() =>
        Enum.GetValues<ImageCount>().ToDictionary(static c => c.ToString(), c => this[c], StringComparer.Ordinal);
}
