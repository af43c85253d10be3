namespace ZfsLite.Fs;

/// <summary>The metaslabs of one top-level vdev, and which of them each copy of a block is now written to.</summary>
internal sealed class MetaslabGroup
{
    private const int MaxMetaslabs = 1 << 17;
    private const long MaxUnitsPerMetaslab = 1L << 30;

    private readonly Metaslab?[] _active = new Metaslab?[MetaslabCore.Cursors];

    internal MetaslabGroup(Vdev vdev)
    {
        Vdev = vdev;
        ulong count = (uint)vdev.MetaslabShift < 48 ? vdev.Asize >> vdev.MetaslabShift : 0;
        if (vdev.Ashift is < 9 or > 16 || vdev.MetaslabShift <= vdev.Ashift || count is 0 or > MaxMetaslabs
            || 1L << (vdev.MetaslabShift - vdev.Ashift) > MaxUnitsPerMetaslab)
        {
            throw new ZfsException(Errno.EINVAL,
                $"vdev {vdev.Id}: ashift {vdev.Ashift}, metaslab shift {vdev.MetaslabShift}, {vdev.Asize} bytes are not supported together");
        }

        Count = (int)count;
        UnitsPerMetaslab = 1L << (vdev.MetaslabShift - vdev.Ashift);
        Metaslabs = new Metaslab[Count];
    }

    internal Vdev Vdev { get; }

    /// <summary>Number of metaslabs.</summary>
    internal int Count { get; }

    internal long UnitsPerMetaslab { get; }

    internal Metaslab[] Metaslabs { get; }

    /// <summary>Bytes of all metaslabs.</summary>
    internal long Bytes => (long)Count << Vdev.MetaslabShift;

    /// <summary>Allocated bytes.</summary>
    internal long Allocated { get; set; }

    /// <summary>Freed bytes that may not be used yet.</summary>
    internal long Deferred { get; set; }

    /// <summary>Bytes that may be handed out.</summary>
    internal long Available => Bytes - Allocated - Deferred;

    /// <summary>Units that a block of so many stored bytes takes.</summary>
    internal long UnitsOf(int psize) => (psize + (1L << Vdev.Ashift) - 1) >> Vdev.Ashift;

    /// <summary>Where the next allocation for a copy should be tried: the metaslab in use if it may serve, else the emptiest one
    /// that may; null if none may.</summary>
    /// <param name="cursor">Number of the copy.</param>
    /// <param name="units">Units wanted.</param>
    /// <param name="distance">Least distance in bytes to <paramref name="others"/>.</param>
    /// <param name="others">Copies placed already, on any vdev.</param>
    internal Metaslab? Pick(int cursor, long units, ulong distance, ReadOnlySpan<Dva> others)
    {
        if (_active[cursor] is { } active && Qualifies(active, units, distance, others))
        {
            return active;
        }

        Metaslab? best = null;
        bool bestShared = false;
        foreach (Metaslab m in Metaslabs)
        {
            if (!Qualifies(m, units, distance, others))
            {
                continue;
            }

            bool shared = IsActive(m);
            if (best is null || (shared == bestShared ? Weight(m) > Weight(best) : bestShared))
            {
                best = m;
                bestShared = shared;
            }
        }

        _active[cursor] = best;
        return best;
    }

    private bool IsActive(Metaslab m) => Array.IndexOf(_active, m) >= 0;

    // Free units; a metaslab that would have to be loaded first must be better by a quarter.
    private static long Weight(Metaslab m) => m.Core.Available + (m.Core.IsLoaded ? m.Core.Units / 4 : 0);

    private bool Qualifies(Metaslab m, long units, ulong distance, ReadOnlySpan<Dva> others)
    {
        if (m.Damage is not null || !m.Core.MayServe(units))
        {
            return false;
        }

        if (distance > 0)
        {
            ulong start = m.Base;
            ulong end = start + (1UL << Vdev.MetaslabShift);
            foreach (Dva dva in others)
            {
                if (dva.Vdev == Vdev.Id && dva.Offset + dva.Asize + distance > start && dva.Offset < end + distance)
                {
                    return false;
                }
            }
        }

        return true;
    }
}
