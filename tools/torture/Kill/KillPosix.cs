using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace ZfsLite.Torture;

/// <summary>fsync, whose errors the framework swallows.</summary>
internal static partial class KillPosix
{
    private const int ODirectory = 0x10000;

    /// <summary>fsync of an open file. Throws IOException.</summary>
    internal static void Sync(SafeFileHandle file) => Check(Fsync((int)file.DangerousGetHandle()), "a file");

    /// <summary>fsync of a directory. Throws IOException.</summary>
    internal static void SyncDirectory(string path)
    {
        int fd = Open(path, ODirectory);
        Check(fd, path);
        int rc = Fsync(fd);
        int errno = Marshal.GetLastPInvokeError();
        _ = Close(fd);
        Marshal.SetLastPInvokeError(errno);
        Check(rc, path);
    }

    private static void Check(int rc, string what)
    {
        if (rc < 0)
        {
            throw new IOException($"fsync of {what}: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(int fd);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int fd);
}
