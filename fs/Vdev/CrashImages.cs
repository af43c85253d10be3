namespace ZfsLite.Fs;

/// <summary>
/// Walks a <see cref="DiskLog"/> from its start and makes the disks that a crash at each point can leave. A disk keeps what was flushed.
/// Of what was written since, each sector of 512 bytes is there or not, on its own, in any order: so for every such sector
/// the choice is what it held before, or any of the writes to it. Images share with one another all that they have in common.
/// </summary>
public sealed unsafe class CrashImages
{
    /// <summary>Bytes that a disk writes wholly or not at all.</summary>
    public const int SectorSize = 512;

    private readonly DiskLog _log;
    private readonly MemoryVdevIo[] _durable;
    private readonly List<CrashPlace> _places = [];
    private readonly Dictionary<(int Disk, long Sector), CrashPlace> _byPlace = [];
    private readonly List<CrashPlace> _newest = [];

    /// <summary>Starts before the first write.</summary>
    public CrashImages(DiskLog log)
    {
        ArgumentNullException.ThrowIfNull(log);
        _log = log;
        _durable = [.. log.Start.Select(static d => d.Clone())];
    }

    /// <summary>Writes and flushes that have been done: the crash comes before the next one.</summary>
    public int Point { get; private set; }

    /// <summary>For tests of what is built on this: flushes make nothing durable.</summary>
    public bool LiesAboutFlush { get; init; }

    /// <summary>Sectors at risk, in the order in which they were first written.</summary>
    public IReadOnlyList<CrashPlace> Places => _places;

    /// <summary>Those of them that the last write touched; none after a flush.</summary>
    public IReadOnlyList<CrashPlace> Newest => _newest;

    /// <summary>Goes on by one write or flush. False at the end.</summary>
    public bool Advance()
    {
        if (Point == _log.Writes.Count)
        {
            return false;
        }

        DiskWrite write = _log.Writes[Point];
        _newest.Clear();
        if (write.Data is { } data)
        {
            AddWrite(write, data.Length);
        }
        else if (!LiesAboutFlush)
        {
            Flush(write);
        }

        Point++;
        return true;
    }

    /// <summary>The disks if of every sector in <see cref="Places"/> the given version survived.</summary>
    /// <param name="versions">For each place: 0 for what it held before, n for its n-th write.</param>
    public MemoryVdevIo[] Make(ReadOnlySpan<int> versions)
    {
        MemoryVdevIo[] disks = [.. _durable.Select(static d => d.Clone())];
        for (int i = 0; i < _places.Count; i++)
        {
            if (versions[i] != 0)
            {
                Apply(disks, _places[i], versions[i] - 1);
            }
        }

        return disks;
    }

    private void AddWrite(in DiskWrite write, int length)
    {
        if (write.Offset % SectorSize != 0 || length % SectorSize != 0)
        {
            throw new InvalidOperationException($"write of {length} bytes at {write.Offset:x} is not one of whole sectors");
        }

        for (long sector = write.Offset / SectorSize; sector < (write.Offset + length) / SectorSize; sector++)
        {
            if (!_byPlace.TryGetValue((write.Disk, sector), out CrashPlace? place))
            {
                place = new CrashPlace(write.Disk, sector, []);
                _byPlace.Add((write.Disk, sector), place);
                _places.Add(place);
            }

            place.Versions.Add(Point);
            _newest.Add(place);
        }
    }

    private void Flush(in DiskWrite flush)
    {
        int disk = flush.Disk;
        long from = flush.Offset / SectorSize;
        long to = flush.Flushed == 0 ? long.MaxValue : (flush.Offset + flush.Flushed) / SectorSize;
        foreach (CrashPlace place in _places)
        {
            if (IsFlushed(place))
            {
                Apply(_durable, place, place.Versions.Count - 1);
                _ = _byPlace.Remove((disk, place.Sector));
            }
        }

        _ = _places.RemoveAll(IsFlushed);

        bool IsFlushed(CrashPlace p) => p.Disk == disk && p.Sector >= from && p.Sector < to;
    }

    private void Apply(MemoryVdevIo[] disks, CrashPlace place, int version)
    {
        DiskWrite write = _log.Writes[place.Versions[version]];
        long at = place.Sector * SectorSize;
        fixed (byte* p = &write.Data![at - write.Offset])
        {
            ReadOnlySpan<IoSegment> one = [new IoSegment((nint)p, SectorSize)];
            _ = disks[place.Disk].Write(at, one);
        }
    }
}
