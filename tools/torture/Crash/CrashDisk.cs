using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>
/// A disk whose writes and flushes fail at random. One of data fails once in a while, and does it at the second try; a log device also for a time, or
/// for good. A write that fails may have been done in part; a flush that fails may have been done.
/// </summary>
internal sealed unsafe class CrashDisk(IVdevIo disk, SeededRandom random, bool isLog) : IVdevIo
{
    private const int FailOneIn = 12;
    private const int GoodAfterwards = 16;

    private readonly object _lock = new();
    private int _good = random.Next(GoodAfterwards);
    private int _bad;

    public long Size => disk.Size;

    public string Path => disk.Path;

    public bool IsReadOnly => disk.IsReadOnly;

    /// <summary>Writes and flushes that failed.</summary>
    internal int Failed { get; private set; }

    public int Read(long offset, byte* buffer, int length) => disk.Read(offset, buffer, length);

    public int Write(long offset, ReadOnlySpan<IoSegment> segments) => Fails(out int chance) ? WritePart(offset, segments, chance) : disk.Write(offset, segments);

    public int WriteThrough(long offset, ReadOnlySpan<IoSegment> segments) =>
        Fails(out int chance) ? WritePart(offset, segments, chance) : disk.WriteThrough(offset, segments);

    public int Flush()
    {
        if (!Fails(out int chance))
        {
            return disk.Flush();
        }

        if (chance % 2 == 0)
        {
            _ = disk.Flush();
        }

        return Errno.EIO;
    }

    public void Discard(long offset, long length) => disk.Discard(offset, length);

    public void Dispose() => disk.Dispose();

    /// <summary>Some sectors of the first piece, or none.</summary>
    private int WritePart(long offset, ReadOnlySpan<IoSegment> segments, int chance)
    {
        int length = chance % (segments[0].Length / CrashImages.SectorSize + 1) * CrashImages.SectorSize;
        if (length > 0)
        {
            ReadOnlySpan<IoSegment> part = [new IoSegment(segments[0].Data, length)];
            _ = disk.Write(offset, part);
        }

        return Errno.EIO;
    }

    private bool Fails(out int chance)
    {
        lock (_lock)
        {
            chance = random.Next(1 << 16);
            if (_bad > 0)
            {
                _bad--;
                Failed++;
                return true;
            }

            if (--_good >= 0 || !random.OneIn(FailOneIn))
            {
                return false;
            }

            _good = GoodAfterwards;
            _bad = !isLog ? 0 : random.Next(4) switch
            {
                0 => 0,
                1 => int.MaxValue,
                _ => 1 + random.Next(30),
            };
            Failed++;
            return true;
        }
    }
}
