namespace ZfsLite.Stress;

/// <summary>
/// What one file must hold. One thread owns it, so nothing changes it behind the model's back. Changes enter the model before
/// they are tried: a change whose outcome a kill hides is one that may or may not have happened.
/// </summary>
internal sealed class ModelFile(ulong id, string name)
{
    private readonly List<string> _namesSince = [];
    private List<uint>? _durable;
    private long _shortestSince;
    private long _longestSince;
    private string _durableName = name;

    /// <summary>Number of the file, in its contents and its name.</summary>
    internal ulong Id { get; } = id;

    /// <summary>Name now, relative to the mount.</summary>
    internal string Name { get; private set; } = name;

    /// <summary>Version of every unit now; 0: a hole.</summary>
    internal List<uint> Units { get; private set; } = [];

    /// <summary>Version of the last write.</summary>
    internal uint LastVersion { get; private set; }

    /// <summary>True once an unlink was tried.</summary>
    internal bool Unlinked { get; private set; }

    /// <summary>True if the file was fsynced at least once, so that it must survive.</summary>
    internal bool MustExist => _durable is not null && !Unlinked;

    /// <summary>Every name that it may be found under after a kill.</summary>
    internal IEnumerable<string> PossibleNames => _namesSince.Append(_durableName).Append(Name).Distinct(StringComparer.Ordinal);

    /// <summary>A write of units from <paramref name="first"/> on; returns its version.</summary>
    internal uint Write(int first, int count)
    {
        LastVersion++;
        while (Units.Count < first + count)
        {
            Units.Add(0);
        }

        for (int i = first; i < first + count; i++)
        {
            Units[i] = LastVersion;
        }

        _longestSince = Math.Max(_longestSince, Units.Count);
        return LastVersion;
    }

    /// <summary>A truncation or an extension by a hole.</summary>
    internal void SetLength(int units)
    {
        if (units < Units.Count)
        {
            Units.RemoveRange(units, Units.Count - units);
        }

        while (Units.Count < units)
        {
            Units.Add(0);
        }

        _shortestSince = Math.Min(_shortestSince, units);
        _longestSince = Math.Max(_longestSince, units);
    }

    /// <summary>A rename.</summary>
    internal void Rename(string name)
    {
        _namesSince.Add(name);
        Name = name;
    }

    /// <summary>An unlink.</summary>
    internal void Unlink() => Unlinked = true;

    /// <summary>An fsync of file and directory has returned: what is there now must survive.</summary>
    internal void Synced()
    {
        _durable = [.. Units];
        _durableName = Name;
        _shortestSince = _longestSince = Units.Count;
        _namesSince.Clear();
    }

    /// <summary>After a kill: takes what was found for the truth.</summary>
    internal void Adopt(string name, List<uint> units)
    {
        Name = name;
        Units = units;
        Synced();
    }

    /// <summary>Judges the file after a clean remount: every unit is the last one written.</summary>
    internal void MustEqual(IReadOnlyList<uint> found)
    {
        if (found.Count != Units.Count)
        {
            throw new StressFailureException($"{Name}: {found.Count * (long)Unit.Bytes} bytes long, must be {Units.Count * (long)Unit.Bytes}");
        }

        for (int i = 0; i < found.Count; i++)
        {
            if (found[i] != Units[i])
            {
                throw new StressFailureException($"{Name}: version {found[i]} at byte {i * (long)Unit.Bytes}, must be {Units[i]}");
            }
        }
    }

    /// <summary>Judges the file after a kill: nothing older than what was fsynced, nothing newer than what was written.</summary>
    internal void MustBePossible(IReadOnlyList<uint> found)
    {
        if (_durable is not null && (found.Count < _shortestSince || found.Count > _longestSince))
        {
            throw new StressFailureException(
                $"{Name}: {found.Count} units long after a kill; it had {_durable.Count} at its last fsync and between {_shortestSince} and {_longestSince} since");
        }

        for (int i = 0; i < found.Count; i++)
        {
            bool stillDurable = _durable is not null && i < _durable.Count && i < _shortestSince;
            uint floor = stillDurable ? _durable![i] : 0;
            if (found[i] < floor || found[i] > LastVersion)
            {
                throw new StressFailureException(
                    $"{Name}: version {found[i]} at byte {i * (long)Unit.Bytes} after a kill; version {floor} was fsynced there, {LastVersion} was the last written");
            }
        }
    }
}
