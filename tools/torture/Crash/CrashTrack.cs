namespace ZfsLite.Torture;

/// <summary>The versions that one thing had: since which step it was what.</summary>
internal sealed class CrashTrack
{
    private readonly List<(int Step, ulong Hash, uint Mode, byte[] Data)> _versions = [];

    internal const string Never = "never";

    /// <summary>What it is now.</summary>
    internal ulong Last => _versions.Count == 0 ? 0 : _versions[^1].Hash;

    /// <summary>It is so from a step on, which is not before the last one told.</summary>
    internal void Set(int step, ulong hash, uint mode = 0, byte[]? data = null)
    {
        if (_versions.Count > 0 && _versions[^1].Step == step)
        {
            _versions[^1] = (step, hash, mode, data ?? []);
        }
        else if (_versions.Count == 0 || Last != hash)
        {
            _versions.Add((step, hash, mode, data ?? []));
        }
    }

    /// <summary>Did it change in a range of steps, after the first?</summary>
    internal bool ChangedIn(int first, int last) => _versions.Exists(v => v.Step > first && v.Step <= last);

    /// <summary>
    /// Is each part of it from some version of a range of steps: the mode, every byte (or a hole, where one of them was shorter), and a size
    /// of one of them or between two that followed one another?
    /// </summary>
    internal bool IsMixOf(uint mode, byte[] data, int first, int last)
    {
        bool modeFits = false, sizeFits = false;
        int previous = -1;
        var fits = new bool[data.Length];
        for (int i = 0; i < _versions.Count; i++)
        {
            int end = i + 1 < _versions.Count ? _versions[i + 1].Step - 1 : int.MaxValue;
            if (_versions[i].Step > last || end < first)
            {
                continue;
            }

            byte[] was = _versions[i].Data;
            modeFits |= _versions[i].Mode == mode;
            sizeFits |= was.Length == data.Length || (previous >= 0 && data.Length >= Math.Min(previous, was.Length) && data.Length <= Math.Max(previous, was.Length));
            previous = was.Length;
            for (int at = 0; at < data.Length; at++)
            {
                fits[at] |= (at < was.Length ? was[at] : 0) == data[at];
            }
        }

        return modeFits && sizeFits && !fits.Contains(false);
    }

    /// <summary>How contents that were never so differ from those of the nearest version.</summary>
    internal string Differs(uint mode, byte[] data)
    {
        (int step, int at, uint wasMode, int length) = (0, -1, 0, 0);
        foreach ((int s, _, uint m, byte[] was) in _versions)
        {
            int common = was.AsSpan().CommonPrefixLength(data);
            if (common > at)
            {
                (step, at, wasMode, length) = (s, common, m, was.Length);
            }
        }

        return $"mode {mode:x}, {data.Length} bytes; step {step} has mode {wasMode:x}, {length} bytes, and differs from byte {at} on";
    }

    /// <summary>Was it so at any step of a range, both ends included?</summary>
    internal bool WasIn(ulong hash, int first, int last)
    {
        for (int i = 0; i < _versions.Count; i++)
        {
            int end = i + 1 < _versions.Count ? _versions[i + 1].Step - 1 : int.MaxValue;
            if (_versions[i].Hash == hash && _versions[i].Step <= last && end >= first)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The steps at which it was so, for messages.</summary>
    internal string Steps(ulong hash)
    {
        var text = new List<string>();
        for (int i = 0; i < _versions.Count; i++)
        {
            if (_versions[i].Hash == hash)
            {
                text.Add(i + 1 < _versions.Count ? $"{_versions[i].Step} to {_versions[i + 1].Step - 1}" : $"{_versions[i].Step} on");
            }
        }

        return text.Count == 0 ? Never : string.Join(", ", text);
    }
}
