using System.Diagnostics.CodeAnalysis;

namespace ZfsLite.Fs;

/// <summary>
/// A list of named, typed values (nvlist): what labels, the pool configuration, the history and packages of send streams
/// are written in. Pairs keep their order. Scalars are held in their own .NET type (Boolean as true, HrTime as long).
/// </summary>
public sealed class Nvlist
{
    private readonly List<NvPair> _pairs = [];

    /// <summary>The pairs, in order.</summary>
    public IReadOnlyList<NvPair> Pairs => _pairs;

    /// <summary>Adds a pair, or replaces the one of that name.</summary>
    public Nvlist Set(string name, NvType type, object value)
    {
        var pair = new NvPair(name, type, value);
        int at = _pairs.FindIndex(p => p.Name == name);
        if (at < 0)
        {
            _pairs.Add(pair);
        }
        else
        {
            _pairs[at] = pair;
        }

        return this;
    }

    /// <summary>Sets a number.</summary>
    public Nvlist Set(string name, ulong value) => Set(name, NvType.UInt64, value);

    /// <summary>Sets a string.</summary>
    public Nvlist Set(string name, string value) => Set(name, NvType.String, value);

    /// <summary>Sets a list.</summary>
    public Nvlist Set(string name, Nvlist value) => Set(name, NvType.Nvlist, value);

    /// <summary>Sets an array of lists.</summary>
    public Nvlist Set(string name, Nvlist[] value) => Set(name, NvType.NvlistArray, value);

    /// <summary>Sets an array of numbers.</summary>
    public Nvlist Set(string name, ulong[] value) => Set(name, NvType.UInt64Array, value);

    /// <summary>Sets a flag without a value.</summary>
    public Nvlist SetBoolean(string name) => Set(name, NvType.Boolean, true);

    /// <summary>True if there is a pair of that name.</summary>
    public bool Contains(string name) => _pairs.Exists(p => p.Name == name);

    /// <summary>Gets a value of that .NET type.</summary>
    public bool TryGet<T>(string name, [MaybeNullWhen(false)] out T value)
    {
        foreach (NvPair p in _pairs)
        {
            if (p.Name == name && p.Value is T v)
            {
                value = v;
                return true;
            }
        }

        value = default;
        return false;
    }

    /// <summary>Gets a number; 0 if absent.</summary>
    public ulong GetUInt64(string name, ulong absent = 0) => TryGet(name, out ulong v) ? v : absent;

    /// <summary>Gets a string; null if absent.</summary>
    public string? GetString(string name) => TryGet(name, out string? v) ? v : null;

    /// <summary>Gets a list; null if absent.</summary>
    public Nvlist? GetNvlist(string name) => TryGet(name, out Nvlist? v) ? v : null;

    /// <summary>Gets an array of lists; empty if absent.</summary>
    public Nvlist[] GetNvlistArray(string name) => TryGet(name, out Nvlist[]? v) && v is not null ? v : [];

    /// <summary>The XDR form, with its 4-byte head.</summary>
    public byte[] Pack() => NvlistXdr.Pack(this);

    /// <summary>
    /// Reads the XDR form from the beginning of <paramref name="data"/>; what follows is ignored. Null, with the reason, if it
    /// is not a well-formed list. Depth, counts and sizes are bounded by the input.
    /// </summary>
    public static Nvlist? TryParse(ReadOnlySpan<byte> data, out string? problem) => NvlistXdr.TryParse(data, out problem);

    /// <summary>As <see cref="TryParse"/>; throws ZfsException (EIO).</summary>
    public static Nvlist Parse(ReadOnlySpan<byte> data) =>
        NvlistXdr.TryParse(data, out string? problem) ?? throw new ZfsException(Errno.EIO, $"bad nvlist: {problem}");
}
