namespace ZfsLite.Fs;

/// <summary>
/// The one door to storage: a file, a block device, or a simulated disk that can crash, tear, delay or fail any I/O. Offsets
/// and lengths are bytes. All methods return 0 or a positive errno and may be called by several threads at once.
/// </summary>
public unsafe interface IVdevIo : IDisposable
{
    /// <summary>Size in bytes.</summary>
    long Size { get; }

    /// <summary>Path, for messages.</summary>
    string Path { get; }

    /// <summary>True if opened for reading only.</summary>
    bool IsReadOnly { get; }

    /// <summary>Why no flush can succeed any more, until the device is opened again; null: it may.</summary>
    string? Broken => null;

    /// <summary>Nothing that was written so far is relied on any more: a flush that failed does not count any longer.</summary>
    void Renew()
    {
    }

    /// <summary>Reads exactly <paramref name="length"/> bytes; a short read is EIO.</summary>
    int Read(long offset, byte* buffer, int length);

    /// <summary>Writes segments one after the other from <paramref name="offset"/>.</summary>
    int Write(long offset, ReadOnlySpan<IoSegment> segments);

    /// <summary>Writes segments as <see cref="Write"/> does; they are on stable storage afterwards. It says nothing about what was written
    /// before, and does not wait for it.</summary>
    int WriteThrough(long offset, ReadOnlySpan<IoSegment> segments);

    /// <summary>Everything written before is on stable storage afterwards.</summary>
    int Flush();

    /// <summary>Gives a range back to the host (hole punching, discard); failure is harmless.</summary>
    void Discard(long offset, long length);
}
