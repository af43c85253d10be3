namespace ZfsLite.Fs;

/// <summary>An I/O error, a bad checksum or corrupt metadata, with the errno that the caller of the file system sees.</summary>
public sealed class ZfsException : Exception
{
    /// <summary>Makes one.</summary>
    public ZfsException(int errno, string message)
        : base(message) => Errno = errno;

    /// <summary>Makes one with a cause.</summary>
    public ZfsException(int errno, string message, Exception inner)
        : base(message, inner) => Errno = errno;

    /// <summary>Linux errno, positive.</summary>
    public int Errno { get; }
}
