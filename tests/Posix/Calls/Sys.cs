using System.Runtime.InteropServices;
using System.Text;

namespace ZfsLite.Tests.Posix;

/// <summary>
/// System calls that give their result, or the error's number as a negative one: such a number can be handed from one thread to
/// another, which errno can't.
/// </summary>
internal static unsafe class Sys
{
    internal const int Cwd = -100;
    internal const int RdOnly = 0, WrOnly = 1, RdWr = 2, Creat = 0x40, Excl = 0x80, Trunc = 0x200, Append = 0x400, NonBlock = 0x800, NoAtime = 0x40000;
    internal const int Cloexec = 0x80000, Path = 0x200000;
    internal const int RemoveDir = 0x200, EmptyPath = 0x1000, SymlinkFollow = 0x400, SymlinkNoFollow = 0x100;
    internal const int NoReplace = 1, Exchange = 2;
    internal const int SeekData = 3, SeekHole = 4;
    internal const int KeepSize = 1, PunchHole = 2, ZeroRange = 16;
    internal const long TimeNow = 0x3FFFFFFF, TimeOmit = 0x3FFFFFFE;
    private const uint StatxAll = 0xFFF;

    private static readonly bool s_isArm = RuntimeInformation.ProcessArchitecture == Architecture.Arm64;

    internal static readonly int Directory = s_isArm ? 0x4000 : 0x10000;
    internal static readonly int NoFollow = s_isArm ? 0x8000 : 0x20000;
    internal static readonly int Direct = s_isArm ? 0x10000 : 0x4000;
    internal static readonly int TmpFile = 0x400000 | Directory;

    internal static int Open(string path, int flags, uint mode = 0x1A4) => OpenAt(Cwd, path, flags, mode);

    internal static int OpenAt(int dir, string path, int flags, uint mode = 0x1A4) => OpenAt(dir, Encoding.UTF8.GetBytes(path), flags, mode);

    internal static int OpenAt(int dir, byte[] path, int flags, uint mode = 0x1A4)
    {
        fixed (byte* p = Terminated(path))
        {
            return Result(Libc.OpenAt(dir, p, flags | Cloexec, mode));
        }
    }

    internal static int Close(int fd) => Result(Libc.Close(fd));

    internal static long Read(int fd, Span<byte> buffer)
    {
        fixed (byte* p = buffer)
        {
            return Result(Libc.Read(fd, p, (nuint)buffer.Length));
        }
    }

    internal static long Write(int fd, ReadOnlySpan<byte> buffer)
    {
        fixed (byte* p = buffer)
        {
            return Result(Libc.Write(fd, p, (nuint)buffer.Length));
        }
    }

    internal static long Pread(int fd, Span<byte> buffer, long offset)
    {
        fixed (byte* p = buffer)
        {
            return Result(Libc.Pread(fd, p, (nuint)buffer.Length, offset));
        }
    }

    internal static long Pwrite(int fd, ReadOnlySpan<byte> buffer, long offset)
    {
        fixed (byte* p = buffer)
        {
            return Result(Libc.Pwrite(fd, p, (nuint)buffer.Length, offset));
        }
    }

    internal static long Lseek(int fd, long offset, int whence)
    {
        long result = Libc.Lseek(fd, offset, whence);
        return result >= 0 ? result : -Marshal.GetLastPInvokeError();
    }

    internal static int Mkdir(string path, uint mode = 0x1ED) => Result(Libc.MkdirAt(Cwd, path, mode));

    internal static int MkdirAt(int dir, string path, uint mode = 0x1ED) => Result(Libc.MkdirAt(dir, path, mode));

    internal static int Mknod(string path, uint mode, ulong device = 0) => Result(Libc.MknodAt(Cwd, path, mode, device));

    internal static int Unlink(string path) => UnlinkAt(Cwd, Encoding.UTF8.GetBytes(path), 0);

    internal static int Rmdir(string path) => UnlinkAt(Cwd, Encoding.UTF8.GetBytes(path), RemoveDir);

    internal static int UnlinkAt(int dir, byte[] path, int flags)
    {
        fixed (byte* p = Terminated(path))
        {
            return Result(Libc.UnlinkAt(dir, p, flags));
        }
    }

    internal static int Symlink(string target, string path) => Result(Libc.SymlinkAt(target, Cwd, path));

    internal static int ReadLink(string path, out string target)
    {
        byte[] buffer = new byte[8192];
        fixed (byte* p = buffer)
        {
            nint n = Libc.ReadLinkAt(Cwd, path, p, (nuint)buffer.Length);
            target = n < 0 ? string.Empty : Encoding.UTF8.GetString(buffer, 0, (int)n);
            return Result((int)n);
        }
    }

    internal static int Link(string from, string to, int flags = 0) => Result(Libc.LinkAt(Cwd, from, Cwd, to, flags));

    internal static int LinkAt(int from, string name, int to, string newName, int flags) => Result(Libc.LinkAt(from, name, to, newName, flags));

    internal static int Rename(string from, string to, uint flags = 0) => Result(Libc.RenameAt2(Cwd, from, Cwd, to, flags));

    internal static int RenameAt(int fromDir, string from, int toDir, string to) => Result(Libc.RenameAt2(fromDir, from, toDir, to, 0));

    internal static int Stat(string path, out FileStatus status, bool follow = false) =>
        StatAt(Cwd, path, follow ? 0 : SymlinkNoFollow, out status);

    internal static int Fstat(int fd, out FileStatus status) => StatAt(fd, string.Empty, EmptyPath, out status);

    internal static int Truncate(string path, long size) => Result(Libc.Truncate(path, size));

    internal static int Ftruncate(int fd, long size) => Result(Libc.Ftruncate(fd, size));

    internal static int Fallocate(int fd, int mode, long offset, long length) => Result(Libc.Fallocate(fd, mode, offset, length));

    internal static long CopyFileRange(int from, long fromOffset, int to, long toOffset, long length, uint flags = 0) =>
        Result(Libc.CopyFileRange(from, &fromOffset, to, &toOffset, (nuint)length, flags));

    internal static int Chmod(string path, uint mode) => Result(Libc.FchmodAt(Cwd, path, mode, 0));

    internal static int Chown(string path, uint uid, uint gid, bool follow = true) => Result(Libc.FchownAt(Cwd, path, uid, gid, follow ? 0 : SymlinkNoFollow));

    /// <summary>Nanoseconds may be <see cref="TimeNow"/> or <see cref="TimeOmit"/>.</summary>
    internal static int Utimens(string path, (long Seconds, long Nanoseconds) atime, (long Seconds, long Nanoseconds) mtime, bool follow = false)
    {
        long* times = stackalloc long[4] { atime.Seconds, atime.Nanoseconds, mtime.Seconds, mtime.Nanoseconds };
        return Result(Libc.UtimensAt(Cwd, path, times, follow ? 0 : SymlinkNoFollow));
    }

    /// <summary>Both times now, as touch(1) does: no times are given.</summary>
    internal static int Touch(string path) => Result(Libc.UtimensAt(Cwd, path, null, 0));

    internal static int Access(string path, int mode) => Result(Libc.FaccessAt(Cwd, path, mode, 0));

    internal static int Fsync(int fd) => Result(Libc.Fsync(fd));

    internal static int Fdatasync(int fd) => Result(Libc.Fdatasync(fd));

    internal static int SetXattr(string path, string name, ReadOnlySpan<byte> value, int flags = 0)
    {
        fixed (byte* p = value)
        {
            return Result(Libc.LsetXattr(path, name, p, (nuint)value.Length, flags));
        }
    }

    /// <summary>An empty buffer asks for the length.</summary>
    internal static int GetXattr(string path, string name, Span<byte> value)
    {
        fixed (byte* p = value)
        {
            return (int)Result(Libc.LgetXattr(path, name, p, (nuint)value.Length));
        }
    }

    internal static int ListXattr(string path, Span<byte> list)
    {
        fixed (byte* p = list)
        {
            return (int)Result(Libc.LlistXattr(path, p, (nuint)list.Length));
        }
    }

    internal static int RemoveXattr(string path, string name) => Result(Libc.LremoveXattr(path, name));

    /// <summary>FS_IOC_GETFLAGS.</summary>
    internal static int GetFlags(int fd, out int flags)
    {
        int value = 0;
        int result = Result(Libc.Ioctl(fd, 0x80086601, &value));
        flags = value;
        return result;
    }

    /// <summary>FS_IOC_SETFLAGS.</summary>
    internal static int SetFlags(int fd, int flags) => Result(Libc.Ioctl(fd, 0x40086602, &flags));

    internal static int Ioctl(int fd, nuint request)
    {
        long room = 0;
        return Result(Libc.Ioctl(fd, request, &room));
    }

    internal static int Flock(int fd, int operation) => Result(Libc.Flock(fd, operation));

    internal static int Fcntl(int fd, int command, ref FileLock fileLock)
    {
        fixed (FileLock* p = &fileLock)
        {
            return Result(Libc.Fcntl(fd, command, p));
        }
    }

    internal static nint Mmap(nuint length, int protection, int flags, int fd, long offset = 0)
    {
        nint address = Libc.Mmap(0, length, protection, flags, fd, offset);
        return address == -1 ? -Marshal.GetLastPInvokeError() : address;
    }

    /// <summary>Result, or the number of the error.</summary>
    internal static int Result(int result) => result >= 0 ? result : -Marshal.GetLastPInvokeError();

    private static long Result(nint result) => result >= 0 ? result : -Marshal.GetLastPInvokeError();

    private static int StatAt(int dir, string path, int flags, out FileStatus status)
    {
        StatxBuffer b = default;
        int result = Result(Libc.Statx(dir, path, flags, StatxAll, &b));
        const uint hasBirth = 0x800;
        FileTime? birth = (b.Mask & hasBirth) != 0 ? new FileTime(b.BtimeSeconds, b.BtimeNanoseconds) : null;
        status = new FileStatus(b.Inode, b.Mode, b.Links, b.Uid, b.Gid, b.Size, b.Blocks, new FileTime(b.AtimeSeconds, b.AtimeNanoseconds),
            new FileTime(b.MtimeSeconds, b.MtimeNanoseconds), new FileTime(b.CtimeSeconds, b.CtimeNanoseconds), birth, (b.DevMajor, b.DevMinor));
        return result;
    }

    private static byte[] Terminated(byte[] path) => [.. path, 0];
}
