namespace ZfsLite.Kmem;

/// <summary>An attribute of a cache could not be read or set. The message says which, and what is possible.</summary>
public sealed class KmemTunableException(int errno, string message) : Exception(message)
{
    /// <summary>ENOENT: no such cache or attribute.</summary>
    public const int Enoent = 2;

    /// <summary>EACCES: it can't be written, or not be read.</summary>
    public const int Eacces = 13;

    /// <summary>EINVAL: the value is none of those possible.</summary>
    public const int Einval = 22;

    /// <summary>The error number.</summary>
    public int Errno { get; } = errno;
}
