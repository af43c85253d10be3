namespace ZfsLite.Fs;

/// <summary>
/// A device as a pool uses it. Writes and flushes that fail are tried once more; then they suspend the pool and are tried again
/// (<see cref="PoolSuspension"/>), unless somebody can do without them: those of a log device, and blocks of the intent log wherever they lie
/// (<see cref="TryWrite"/>, <see cref="TryFlush"/>). What the device has not answered yet is on record (<see cref="IoWatch"/>). A read that
/// fails is its caller's affair, who may have another copy.
/// </summary>
/// <param name="device">The device.</param>
/// <param name="suspension">Where the pool waits, and counts errors.</param>
/// <param name="mayFail">A log device: no failure suspends the pool.</param>
internal sealed unsafe class PoolVdevIo(IVdevIo device, PoolSuspension suspension, bool mayFail) : IVdevIo
{
    /// <inheritdoc/>
    public long Size => device.Size;

    /// <inheritdoc/>
    public string Path => device.Path;

    /// <inheritdoc/>
    public bool IsReadOnly => device.IsReadOnly;

    /// <inheritdoc/>
    public string? Broken => device.Broken;

    /// <summary>What it has not answered yet.</summary>
    internal IoWatch Watch { get; } = new(device.Path);

    /// <inheritdoc/>
    public int Read(long offset, byte* buffer, int length)
    {
        IoWait? io = Watch.Begin(IoKind.Read, offset, length);
        int error = device.Read(offset, buffer, length);
        IoWatch.End(io);
        if (error != 0)
        {
            suspension.CountReadError();
        }

        return error;
    }

    /// <inheritdoc/>
    public int Write(long offset, ReadOnlySpan<IoSegment> segments) => Write(offset, segments, mayFail, through: false);

    /// <inheritdoc/>
    public int WriteThrough(long offset, ReadOnlySpan<IoSegment> segments) => Write(offset, segments, mayFail, through: true);

    /// <inheritdoc/>
    public int Flush() => Flush(mayFail);

    /// <summary>Writes, and never suspends the pool: whoever writes can do without. 0 or an errno.</summary>
    /// <param name="offset">Where to.</param>
    /// <param name="segments">What.</param>
    /// <param name="through">It is on stable storage afterwards.</param>
    internal int TryWrite(long offset, ReadOnlySpan<IoSegment> segments, bool through = false) => Write(offset, segments, canFail: true, through);

    /// <summary>Flushes, and never suspends the pool. 0 or an errno.</summary>
    internal int TryFlush() => Flush(canFail: true);

    /// <inheritdoc/>
    public void Renew() => device.Renew();

    /// <inheritdoc/>
    public void Discard(long offset, long length) => device.Discard(offset, length);

    /// <inheritdoc/>
    public void Dispose() => device.Dispose();

    private int Write(long offset, ReadOnlySpan<IoSegment> segments, bool canFail, bool through)
    {
        long length = 0;
        foreach (IoSegment s in segments)
        {
            length += s.Length;
        }

        int stage = 0;
        while (true)
        {
            IoWait? io = Watch.Begin(IoKind.Write, offset, length);
            int error = through ? device.WriteThrough(offset, segments) : device.Write(offset, segments);
            IoWatch.End(io);
            if (error == 0)
            {
                suspension.Passed(stage);
                return 0;
            }

            suspension.CountWriteError();
            if (!(canFail ? PoolSuspension.TryOnceMore(ref stage, Broken) : suspension.TryAgain(ref stage, $"a write to {Path}", error, Broken)))
            {
                return error;
            }
        }
    }

    private int Flush(bool canFail)
    {
        int stage = 0;
        while (true)
        {
            IoWait? io = Watch.Begin(IoKind.Flush, 0, 0);
            int error = device.Flush();
            IoWatch.End(io);
            if (error == 0)
            {
                suspension.Passed(stage);
                return 0;
            }

            suspension.CountFlushError();
            if (!(canFail ? PoolSuspension.TryOnceMore(ref stage, Broken) : suspension.TryAgain(ref stage, $"a flush of {Path}", error, Broken)))
            {
                return error;
            }
        }
    }
}
