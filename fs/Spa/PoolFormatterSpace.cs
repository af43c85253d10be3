namespace ZfsLite.Fs;

/// <summary>
/// The space of a pool that is being formatted. Each copy of a block has a region of its own, the beginning of one metaslab;
/// regions on one vdev lie more than an eighth of it apart. Space is given out from the front and nothing is ever freed, so
/// one ALLOC record tells all about a region.
/// </summary>
internal sealed class PoolFormatterSpace
{
    /// <summary>Copies, and so regions.</summary>
    internal const int Regions = 3;

    private readonly IReadOnlyList<Vdev> _vdevs;
    private readonly ulong[] _used = new ulong[Regions];

    internal PoolFormatterSpace(IReadOnlyList<Vdev> vdevs) => _vdevs = vdevs;

    /// <summary>The vdev of a region.</summary>
    internal Vdev VdevOf(int region) => _vdevs[region % _vdevs.Count];

    /// <summary>The metaslab of a region.</summary>
    internal int MetaslabOf(int region) => region / _vdevs.Count * ((VdevOf(region).MetaslabCount / 8) + 2);

    /// <summary>Bytes given out in a region.</summary>
    internal ulong UsedBytes(int region) => _used[region];

    /// <summary>Space for a block of <paramref name="psize"/> bytes in the first <paramref name="copies"/> regions.</summary>
    internal Dva[] Allocate(int psize, int copies)
    {
        var dvas = new Dva[copies];
        for (int i = 0; i < copies; i++)
        {
            Vdev v = VdevOf(i);
            ulong sector = 1UL << v.Ashift;
            ulong asize = ((ulong)psize + sector - 1) & ~(sector - 1);
            if (_used[i] + asize > 1UL << v.MetaslabShift)
            {
                throw new InvalidOperationException($"a new pool does not fit in a metaslab of 2^{v.MetaslabShift} bytes");
            }

            dvas[i] = Dva.Create(v.Id, ((ulong)MetaslabOf(i) << v.MetaslabShift) + _used[i], asize);
            _used[i] += asize;
        }

        return dvas;
    }
}
