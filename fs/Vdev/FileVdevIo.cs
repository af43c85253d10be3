using System.Runtime.InteropServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// A file or block device of the host. Holds an flock for as long as it is open (exclusive to write, shared to read), so two
/// processes can't write one pool. Interrupted and short transfers are continued. A failed flush is remembered and every
/// later one fails too: the kernel may have dropped the pages that it could not write, and the next fdatasync would say
/// that all is well. What is written through goes by a descriptor of its own (O_DSYNC), so that the kernel, which reports a
/// failed write once to each descriptor, does not report it there instead of to the flush.
/// </summary>
public sealed unsafe partial class FileVdevIo : IVdevIo
{
    private const int OReadOnly = 0, OReadWrite = 2, OCloexec = 0x80000, ODsync = 0x1000;
    private const int SeekEnd = 2;
    private const int LockShared = 1, LockExclusive = 2, LockNonblock = 4;
    private const int FallocKeepSize = 1, FallocPunchHole = 2;
    private const nuint BlkGetSize64 = 0x80081272;
    private const int MaxSegments = 64;

    private int _fd;
    private int _throughFd = -1;
    private int _flushError;

    private FileVdevIo(int fd, string path, long size, bool readOnly, bool isBlockDevice)
    {
        _fd = fd;
        Path = path;
        Size = size;
        IsReadOnly = readOnly;
        IsBlockDevice = isBlockDevice;
        if (!readOnly)
        {
            _throughFd = open($"/proc/self/fd/{fd}", OReadWrite | OCloexec | ODsync);
        }
    }

    /// <inheritdoc/>
    public long Size { get; }

    /// <inheritdoc/>
    public string Path { get; }

    /// <inheritdoc/>
    public bool IsReadOnly { get; }

    /// <inheritdoc/>
    public string? Broken => _flushError != 0 ? "a flush failed, and the host may have dropped what it could not write" : null;

    /// <summary>True for a block device.</summary>
    public bool IsBlockDevice { get; }

    /// <summary>
    /// Opens a device. Throws ZfsException with a message for the user: EBUSY when another process has it, otherwise what
    /// open said.
    /// </summary>
    public static FileVdevIo Open(string path, bool readOnly)
    {
        int fd;
        do
        {
            fd = open(path, (readOnly ? OReadOnly : OReadWrite) | OCloexec);
        }
        while (fd < 0 && Marshal.GetLastPInvokeError() == Errno.EINTR);

        if (fd < 0)
        {
            int e = Marshal.GetLastPInvokeError();
            throw new ZfsException(e, $"cannot open {path}: {Marshal.GetPInvokeErrorMessage(e)}");
        }

        try
        {
            if (flock(fd, (readOnly ? LockShared : LockExclusive) | LockNonblock) != 0)
            {
                int e = Marshal.GetLastPInvokeError();
                throw e == Errno.EAGAIN
                    ? new ZfsException(Errno.EBUSY, $"{path} is in use by another process (its pool is mounted or being checked)")
                    : new ZfsException(e, $"cannot lock {path}: {Marshal.GetPInvokeErrorMessage(e)}");
            }

            ulong bytes = 0;
            bool isBlock = ioctl(fd, BlkGetSize64, &bytes) == 0;
            long size = isBlock ? (long)bytes : lseek(fd, 0, SeekEnd);
            if (size < 0)
            {
                int e = Marshal.GetLastPInvokeError();
                throw new ZfsException(e, $"{path} is neither a file nor a block device: {Marshal.GetPInvokeErrorMessage(e)}");
            }

            return new FileVdevIo(fd, path, size, readOnly, isBlock);
        }
        catch
        {
            _ = close(fd);
            throw;
        }
    }

    /// <inheritdoc/>
    public int Read(long offset, byte* buffer, int length)
    {
        while (length > 0)
        {
            Kthread.AboutToBlock();
            nint n = pread(_fd, buffer, (nuint)length, offset);
            if (n < 0)
            {
                int e = Marshal.GetLastPInvokeError();
                if (e == Errno.EINTR)
                {
                    continue;
                }

                return e;
            }

            if (n == 0)
            {
                return Errno.EIO;
            }

            buffer += n;
            offset += n;
            length -= (int)n;
        }

        return 0;
    }

    /// <inheritdoc/>
    public int Write(long offset, ReadOnlySpan<IoSegment> segments) => Write(_fd, offset, segments);

    /// <inheritdoc/>
    public int WriteThrough(long offset, ReadOnlySpan<IoSegment> segments)
    {
        if (_throughFd >= 0)
        {
            return Write(_throughFd, offset, segments);
        }

        // There is no /proc.
        int error = Write(_fd, offset, segments);
        return error != 0 ? error : Flush();
    }

    private static int Write(int file, long offset, ReadOnlySpan<IoSegment> segments)
    {
        IoVec* vec = stackalloc IoVec[MaxSegments];
        while (!segments.IsEmpty)
        {
            int count = Math.Min(MaxSegments, segments.Length);
            long total = 0;
            for (int i = 0; i < count; i++)
            {
                vec[i] = new IoVec { Base = (byte*)segments[i].Data, Length = (nuint)segments[i].Length };
                total += segments[i].Length;
            }

            int error = WriteAll(file, vec, count, offset, total);
            if (error != 0)
            {
                return error;
            }

            offset += total;
            segments = segments[count..];
        }

        return 0;
    }

    /// <inheritdoc/>
    public int Flush()
    {
        if (_flushError != 0)
        {
            return _flushError;
        }

        Kthread.AboutToBlock();
        while (fdatasync(_fd) != 0)
        {
            int e = Marshal.GetLastPInvokeError();
            if (e != Errno.EINTR)
            {
                _flushError = e;
                return e;
            }
        }

        return 0;
    }

    /// <inheritdoc/>
    public void Renew() => _flushError = 0;

    /// <inheritdoc/>
    public void Discard(long offset, long length) => _ = fallocate(_fd, FallocKeepSize | FallocPunchHole, offset, length);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (int fd in (ReadOnlySpan<int>)[Interlocked.Exchange(ref _throughFd, -1), Interlocked.Exchange(ref _fd, -1)])
        {
            if (fd >= 0)
            {
                _ = close(fd);
            }
        }
    }

    private static int WriteAll(int file, IoVec* vec, int count, long offset, long left)
    {
        while (left > 0)
        {
            Kthread.AboutToBlock();
            nint n = pwritev(file, vec, count, offset);
            if (n < 0)
            {
                int e = Marshal.GetLastPInvokeError();
                if (e == Errno.EINTR)
                {
                    continue;
                }

                return e;
            }

            if (n == 0)
            {
                return Errno.EIO;
            }

            left -= n;
            offset += n;
            while (count > 0 && (nuint)n >= vec->Length)
            {
                n -= (nint)vec->Length;
                vec++;
                count--;
            }

            if (count > 0)
            {
                vec->Base += n;
                vec->Length -= (nuint)n;
            }
        }

        return 0;
    }

    private struct IoVec
    {
        internal byte* Base;
        internal nuint Length;
    }

#pragma warning disable SA1300, IDE1006 // Names of the C library.
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int close(int fd);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int flock(int fd, int operation);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ioctl(int fd, nuint request, ulong* argument);

    [LibraryImport("libc", SetLastError = true)]
    private static partial long lseek(int fd, long offset, int whence);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint pread(int fd, byte* buffer, nuint length, long offset);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint pwritev(int fd, IoVec* vec, int count, long offset);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fdatasync(int fd);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fallocate(int fd, int mode, long offset, long length);
#pragma warning restore SA1300, IDE1006
}
