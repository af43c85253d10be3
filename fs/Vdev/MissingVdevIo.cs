namespace ZfsLite.Fs;

/// <summary>Stands for a device that is not here.</summary>
internal sealed unsafe class MissingVdevIo(long size, string path) : IVdevIo
{
    /// <inheritdoc/>
    public long Size => size;

    /// <inheritdoc/>
    public string Path => path;

    /// <inheritdoc/>
    public bool IsReadOnly => true;

    /// <inheritdoc/>
    public int Read(long offset, byte* buffer, int length) => Errno.ENXIO;

    /// <inheritdoc/>
    public int Write(long offset, ReadOnlySpan<IoSegment> segments) => Errno.ENXIO;

    /// <inheritdoc/>
    public int WriteThrough(long offset, ReadOnlySpan<IoSegment> segments) => Errno.ENXIO;

    /// <inheritdoc/>
    public int Flush() => Errno.ENXIO;

    /// <inheritdoc/>
    public void Discard(long offset, long length)
    {
        // Nothing to give back.
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Nothing is open.
    }
}
