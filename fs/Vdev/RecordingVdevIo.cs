using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>A disk in memory whose writes and flushes are recorded. Made by <see cref="DiskLog.Record"/>.</summary>
public sealed unsafe class RecordingVdevIo : IVdevIo
{
    private readonly DiskLog _log;
    private readonly int _number;
    private readonly MemoryVdevIo _contents;

    internal RecordingVdevIo(DiskLog log, int number, MemoryVdevIo contents)
    {
        _log = log;
        _number = number;
        _contents = contents;
    }

    /// <inheritdoc/>
    public long Size => _contents.Size;

    /// <inheritdoc/>
    public string Path => _contents.Path;

    /// <inheritdoc/>
    public bool IsReadOnly => false;

    /// <inheritdoc/>
    public int Read(long offset, byte* buffer, int length)
    {
        Kthread.Yield();
        return _contents.Read(offset, buffer, length);
    }

    /// <inheritdoc/>
    public int Write(long offset, ReadOnlySpan<IoSegment> segments)
    {
        Kthread.Yield();
        int length = 0;
        foreach (IoSegment s in segments)
        {
            length += s.Length;
        }

        var data = new byte[length];
        int at = 0;
        foreach (IoSegment s in segments)
        {
            new ReadOnlySpan<byte>((byte*)s.Data, s.Length).CopyTo(data.AsSpan(at));
            at += s.Length;
        }

        int error = _contents.Write(offset, segments);
        if (error == 0)
        {
            _log.Add(new DiskWrite(_number, offset, data));
        }

        return error;
    }

    /// <inheritdoc/>
    public int WriteThrough(long offset, ReadOnlySpan<IoSegment> segments)
    {
        int error = Write(offset, segments);
        int length = 0;
        foreach (IoSegment s in segments)
        {
            length += s.Length;
        }

        Kthread.Yield();
        if (error == 0 && length > 0)
        {
            _log.Add(new DiskWrite(_number, offset, null, length));
        }

        return error;
    }

    /// <inheritdoc/>
    public int Flush()
    {
        // It covers what was written before it began, and nothing that is written meanwhile.
        _log.Add(new DiskWrite(_number, 0, null));
        Kthread.Yield();
        return 0;
    }

    /// <inheritdoc/>
    public void Discard(long offset, long length)
    {
        // A host may or may not honour it; this one does not.
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
