namespace ZfsLite.Fs;

/// <summary>
/// Every write and flush of some disks in the order in which they ended, with what the disks held before the first: all that it takes
/// to make what a crash at any of these moments can leave (<see cref="CrashImages"/>).
/// </summary>
public sealed class DiskLog
{
    private readonly object _lock = new();
    private readonly List<DiskWrite> _writes = [];
    private readonly List<MemoryVdevIo> _start = [];

    /// <summary>Writes and flushes so far.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _writes.Count;
            }
        }
    }

    /// <summary>The writes and flushes. To be read when nothing is written any more.</summary>
    public IReadOnlyList<DiskWrite> Writes => _writes;

    /// <summary>What the disks held before.</summary>
    public IReadOnlyList<MemoryVdevIo> Start => _start;

    /// <summary>A disk with the contents of another (shared until written); what is written to it is recorded here.</summary>
    public RecordingVdevIo Record(MemoryVdevIo contents)
    {
        ArgumentNullException.ThrowIfNull(contents);
        _start.Add(contents.Clone());
        return new RecordingVdevIo(this, _start.Count - 1, contents.Clone());
    }

    internal void Add(in DiskWrite write)
    {
        lock (_lock)
        {
            _writes.Add(write);
        }
    }
}
