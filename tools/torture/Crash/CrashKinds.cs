using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>What a crash did to what was not flushed, and what had happened before.</summary>
[Flags]
internal enum CrashKinds
{
    /// <summary>Nothing was at risk.</summary>
    None = 0,

    /// <summary>All of it is gone.</summary>
    Lost = 1,

    /// <summary>All of it is there.</summary>
    Kept = 2,

    /// <summary>A write is there, an earlier one is not.</summary>
    Reordered = 4,

    /// <summary>A write is there in part.</summary>
    Torn = 8,

    /// <summary>Writes or flushes had failed before.</summary>
    IoError = 16,

    /// <summary>The intent log has a device of its own.</summary>
    LogDevice = 32,

    /// <summary>It came during the recovery from another one.</summary>
    Recrashed = 64,
}

/// <summary>Tells kinds of crashes apart.</summary>
internal static class CrashKindsOf
{
    internal static CrashKinds Survivors(IReadOnlyList<CrashPlace> places, ReadOnlySpan<int> choice)
    {
        if (places.Count == 0)
        {
            return CrashKinds.None;
        }

        var writes = new SortedDictionary<int, (int There, int All)>();
        for (int i = 0; i < places.Count; i++)
        {
            for (int v = 0; v < places[i].Versions.Count; v++)
            {
                // What a later write covered may have been there.
                (int there, int all) = writes.GetValueOrDefault(places[i].Versions[v]);
                writes[places[i].Versions[v]] = (there + (choice[i] > v ? 1 : 0), all + 1);
            }
        }

        CrashKinds kinds = writes.Values.All(static w => w.There == 0) ? CrashKinds.Lost
            : writes.Values.All(static w => w.There == w.All) ? CrashKinds.Kept
            : CrashKinds.None;
        kinds |= writes.Values.Any(static w => w.There > 0 && w.There < w.All) ? CrashKinds.Torn : 0;
        bool missing = false;
        foreach ((int there, int all) in writes.Values)
        {
            kinds |= missing && there == all ? CrashKinds.Reordered : 0;
            missing |= there == 0;
        }

        return kinds;
    }
}
