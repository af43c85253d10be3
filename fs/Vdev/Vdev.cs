using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// A top-level vdev: the unit that block addresses name. Offsets here are DVA offsets, relative to the allocatable space,
/// which begins 4 MiB into the device, after two labels and the boot area.
/// </summary>
public sealed unsafe class Vdev
{
    /// <summary>Where allocatable space begins on the device, bytes.</summary>
    public const ulong DataStart = 0x400000;

    /// <summary>Bytes at the end of the device for two labels.</summary>
    public const ulong EndReserve = 0x80000;

    /// <summary>Smallest device, bytes (SPA_MINDEVSIZE).</summary>
    public const long MinDeviceSize = 64L << 20;

    /// <summary>Index in the pool's tree.</summary>
    public required uint Id { get; init; }

    private long _logWrites;
    private long _logFlushed;

    /// <summary>Identity.</summary>
    public required ulong Guid { get; init; }

    /// <summary>log2 of the smallest allocation.</summary>
    public required int Ashift { get; init; }

    /// <summary>Allocatable bytes.</summary>
    public required ulong Asize { get; init; }

    /// <summary>MOS object that lists the space maps.</summary>
    public ulong MetaslabArray { get; set; }

    /// <summary>log2 of the size of a metaslab.</summary>
    public int MetaslabShift { get; init; }

    /// <summary>Holds the intent log only.</summary>
    public bool IsLog { get; init; }

    /// <summary>The device is not here: nothing can be read or written.</summary>
    public bool IsMissing => Io is MissingVdevIo;

    /// <summary>Of a log device: how it failed, since when it has not been used; null: it is in use.</summary>
    public string? Fault { get; internal set; }

    /// <summary>Txg in which it joined the pool.</summary>
    public ulong CreateTxg { get; init; }

    /// <summary>Path of the device.</summary>
    public string Path { get; init; } = "";

    /// <summary>The device.</summary>
    public required IVdevIo Io { get; init; }

    /// <summary>The device as the pool uses it: failures suspend the pool, unless it holds the log alone. The device itself where no pool is open.</summary>
    internal IVdevIo Door => Guard is { } guard ? guard : Io;

    /// <summary>That door; null where no pool is open.</summary>
    internal PoolVdevIo? Guard { get; init; }

    /// <summary>Number of metaslabs.</summary>
    public int MetaslabCount => MetaslabShift == 0 ? 0 : (int)(Asize >> MetaslabShift);

    /// <summary>Usable size of a device: rounded down to whole labels.</summary>
    public static long UsableSize(long deviceSize) => deviceSize & ~(VdevLabel.LabelSize - 1L);

    /// <summary>Allocatable bytes of a device of that size; 0 if there is room for labels only.</summary>
    public static ulong AsizeFor(long deviceSize) =>
        (ulong)Math.Max(0, UsableSize(deviceSize) - (long)(DataStart + EndReserve));

    /// <summary>Metaslab size for that much allocatable space: about 200 metaslabs, 128 KiB at least.</summary>
    public static int MetaslabShiftFor(ulong asize) => Math.Max(17, 64 - System.Numerics.BitOperations.LeadingZeroCount(asize / 200));

    /// <summary>How the configuration of the pool describes it.</summary>
    public VdevConfig ToConfig() => new()
    {
        Type = Io is FileVdevIo { IsBlockDevice: true } ? "disk" : "file",
        Id = Id,
        Guid = Guid,
        Path = Path,
        MetaslabArray = MetaslabArray,
        MetaslabShift = (ulong)MetaslabShift,
        Ashift = (ulong)Ashift,
        Asize = Asize,
        IsLog = IsLog,
        CreateTxg = CreateTxg,
    };

    /// <summary>True if the range lies within the allocatable space.</summary>
    public bool Contains(ulong offset, ulong length) => offset <= Asize && length <= Asize - offset;

    /// <summary>Reads at a DVA offset. 0 or EIO; a range outside the vdev is EIO and touches nothing.</summary>
    public int Read(ulong dvaOffset, byte* buffer, int size)
    {
        if (size < 0 || !Contains(dvaOffset, (ulong)size))
        {
            return Errno.EIO;
        }

        return Door.Read((long)(dvaOffset + DataStart), buffer, size);
    }

    /// <summary>Everything written before is on stable storage afterwards. 0 or an errno.</summary>
    public int Flush() => Door.Flush();

    /// <summary>As <see cref="Flush"/>, of blocks of the intent log: a failure does not suspend the pool.</summary>
    internal int FlushLog()
    {
        long written = Katomic.Load(ref _logWrites);
        int error = Guard?.TryFlush() ?? Io.Flush();
        if (error == 0)
        {
            Katomic.Store(ref _logFlushed, written);
        }

        return error;
    }

    /// <summary>Are there blocks of the intent log that no <see cref="FlushLog"/> has covered?</summary>
    internal bool HasUnflushedLog => Katomic.Load(ref _logWrites) != Katomic.Load(ref _logFlushed);

    /// <summary>Writes segments from a DVA offset. 0 or an errno.</summary>
    public int Write(ulong dvaOffset, ReadOnlySpan<IoSegment> segments) => Door.Write(Place(dvaOffset, segments), segments);

    /// <summary>As <see cref="Write"/>, a block of the intent log: a failure does not suspend the pool.</summary>
    /// <param name="dvaOffset">Where to.</param>
    /// <param name="segments">What.</param>
    /// <param name="through">It is on stable storage afterwards.</param>
    internal int WriteLog(ulong dvaOffset, ReadOnlySpan<IoSegment> segments, bool through)
    {
        long at = Place(dvaOffset, segments);
        int error = Guard is { } guard ? guard.TryWrite(at, segments, through) : through ? Io.WriteThrough(at, segments) : Io.Write(at, segments);
        if (!through)
        {
            Katomic.Increment(ref _logWrites);
        }

        return error;
    }

    private long Place(ulong dvaOffset, ReadOnlySpan<IoSegment> segments)
    {
        ulong total = 0;
        foreach (IoSegment s in segments)
        {
            total += (uint)s.Length;
        }

        if (!Contains(dvaOffset, total))
        {
            throw new InvalidOperationException($"write of {total} bytes at {dvaOffset:x} leaves vdev {Id} of {Asize} bytes");
        }

        return (long)(dvaOffset + DataStart);
    }
}
