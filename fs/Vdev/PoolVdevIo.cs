namespace ZfsLite.Fs;

/// <summary>
/// A device as a pool uses it: writes and flushes that fail suspend the pool and are tried again (<see cref="PoolSuspension"/>), and what
/// the device has not answered yet is on record (<see cref="IoWatch"/>). A read that fails is its caller's affair, who may have another copy.
/// </summary>
internal sealed unsafe class PoolVdevIo(IVdevIo device, PoolSuspension suspension) : IVdevIo
{
    /// <inheritdoc/>
    public long Size => device.Size;

    /// <inheritdoc/>
    public string Path => device.Path;

    /// <inheritdoc/>
    public bool IsReadOnly => device.IsReadOnly;

    /// <inheritdoc/>
    public string? Broken => device.Broken;

    /// <summary>The device itself.</summary>
    internal IVdevIo Device => device;

    /// <summary>What it has not answered yet.</summary>
    internal IoWatch Watch { get; } = new();

    /// <inheritdoc/>
    public int Read(long offset, byte* buffer, int length)
    {
        int slot = Watch.Begin(IoKind.Read);
        int error = device.Read(offset, buffer, length);
        Watch.End(slot);
        if (error != 0)
        {
            suspension.CountReadError();
        }

        return error;
    }

    /// <inheritdoc/>
    public int Write(long offset, ReadOnlySpan<IoSegment> segments)
    {
        int stage = 0;
        while (true)
        {
            int slot = Watch.Begin(IoKind.Write);
            int error = device.Write(offset, segments);
            Watch.End(slot);
            if (error == 0)
            {
                suspension.Passed(stage);
                return 0;
            }

            suspension.CountWriteError();
            if (!suspension.TryAgain(ref stage, $"a write to {Path}", error, Broken))
            {
                return error;
            }
        }
    }

    /// <inheritdoc/>
    public int Flush()
    {
        int stage = 0;
        while (true)
        {
            int slot = Watch.Begin(IoKind.Flush);
            int error = device.Flush();
            Watch.End(slot);
            if (error == 0)
            {
                suspension.Passed(stage);
                return 0;
            }

            suspension.CountFlushError();
            if (!suspension.TryAgain(ref stage, $"a flush of {Path}", error, Broken))
            {
                return error;
            }
        }
    }

    /// <inheritdoc/>
    public void Discard(long offset, long length) => device.Discard(offset, length);

    /// <inheritdoc/>
    public void Dispose() => device.Dispose();
}
