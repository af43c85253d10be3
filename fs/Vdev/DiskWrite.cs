namespace ZfsLite.Fs;

/// <summary>A write or a flush, as a <see cref="DiskLog"/> keeps it.</summary>
/// <param name="Disk">Number of the disk in the log.</param>
/// <param name="Offset">Where it was written, bytes.</param>
/// <param name="Data">The bytes; null: a flush, which ended here.</param>
/// <param name="Flushed">Of a flush: so many bytes from <paramref name="Offset"/> on, written through; 0: everything.</param>
public readonly record struct DiskWrite(int Disk, long Offset, byte[]? Data, int Flushed = 0)
{
    /// <summary>True for a flush.</summary>
    public bool IsFlush => Data is null;
}
