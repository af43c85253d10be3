namespace ZfsLite.Fs;

/// <summary>Linux error numbers (x86-64 and arm64), positive. Mono.Posix maps names; the hot paths need constants.</summary>
public static class Errno
{
#pragma warning disable CS1591 // The names are the documentation.
    public const int EPERM = 1, ENOENT = 2, EINTR = 4, EIO = 5, ENXIO = 6, E2BIG = 7, EBADF = 9, EAGAIN = 11, ENOMEM = 12, EACCES = 13;
    public const int EFAULT = 14, EBUSY = 16, EEXIST = 17, EXDEV = 18, ENODEV = 19, ENOTDIR = 20, EISDIR = 21, EINVAL = 22;
    public const int ENFILE = 23, ENOTTY = 25, ETXTBSY = 26, EFBIG = 27, ENOSPC = 28, ESPIPE = 29, EROFS = 30, EMLINK = 31, EPIPE = 32, ERANGE = 34;
    public const int EDEADLK = 35, ENAMETOOLONG = 36, ENOSYS = 38, ENOTEMPTY = 39, ELOOP = 40, ENODATA = 61, EOVERFLOW = 75;
    public const int EILSEQ = 84, ERESTART = 85, EOPNOTSUPP = 95, ENOTCONN = 107, ETIMEDOUT = 110, EINPROGRESS = 115, ESTALE = 116, EUCLEAN = 117, EDQUOT = 122;

    /// <summary>Bad checksum: EIO to users, told apart inside.</summary>
    public const int ECKSUM = EUCLEAN;
#pragma warning restore CS1591
}
