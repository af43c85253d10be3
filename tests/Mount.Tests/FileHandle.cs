using System.Runtime.InteropServices;
using Mono.Unix.Native;
using ZfsLite.Tests.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>Handles of files by name_to_handle_at(2), as an NFS server makes and opens them.</summary>
internal static unsafe class FileHandle
{
    private const int HandleBytes = 128;

    internal static byte[] Of(string path)
    {
        byte[] handle = new byte[HandleBytes + 8];
        BitConverter.TryWriteBytes(handle, HandleBytes);
        int mountId;
        fixed (byte* p = handle)
        {
            if (PosixLibc.NameToHandleAt(PosixLibc.AtFdcwd, path, p, &mountId, 0) != 0)
            {
                throw new InvalidOperationException($"name_to_handle_at: errno {Marshal.GetLastPInvokeError()}");
            }
        }

        return handle;
    }

    /// <summary>The descriptor, or the errno as a negative number.</summary>
    internal static int Open(string mountPath, byte[] handle, OpenFlags flags = OpenFlags.O_RDONLY)
    {
        int mountFd = Syscall.open(mountPath, OpenFlags.O_RDONLY | OpenFlags.O_DIRECTORY);
        fixed (byte* p = handle)
        {
            int fd = PosixLibc.OpenByHandleAt(mountFd, p, NativeConvert.FromOpenFlags(flags));
            int error = Marshal.GetLastPInvokeError();
            Syscall.close(mountFd);
            return fd >= 0 ? fd : -error;
        }
    }

    /// <summary>All text of a file, read to its end whatever its size is said to be.</summary>
    internal static string Read(string mountPath, byte[] handle)
    {
        int fd = Open(mountPath, handle);
        if (fd < 0)
        {
            throw new InvalidOperationException($"open_by_handle_at: errno {-fd}");
        }

        using var file = new FileStream(new Microsoft.Win32.SafeHandles.SafeFileHandle(fd, ownsHandle: true), FileAccess.Read, 1);
        using var reader = new StreamReader(file);
        return reader.ReadToEnd();
    }

    /// <summary>The path that the kernel gives a handle.</summary>
    internal static string PathOf(string mountPath, byte[] handle)
    {
        int fd = Open(mountPath, handle);
        if (fd < 0)
        {
            throw new InvalidOperationException($"open_by_handle_at: errno {-fd}");
        }

        string path = File.ResolveLinkTarget($"/proc/self/fd/{fd}", false)!.FullName;
        Syscall.close(fd);
        return path;
    }

    /// <summary>Remounting drops the unused names and inodes of the mount.</summary>
    internal static void Evict(string path)
    {
        const nuint remount = 32;
        if (PosixLibc.Mount("none", path, null, remount, null) != 0)
        {
            throw new InvalidOperationException($"remount: errno {Marshal.GetLastPInvokeError()}");
        }
    }
}
