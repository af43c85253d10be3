using System.Runtime.InteropServices;

namespace ZfsLite.Tests.Posix;

/// <summary>System calls that Mono.Posix lacks.</summary>
internal static unsafe partial class PosixLibc
{
    internal const int SeekData = 3;
    internal const int SeekHole = 4;
    internal const int AtFdcwd = -100;
    private const string C = "libc";

    [LibraryImport(C, EntryPoint = "lseek", SetLastError = true)]
    internal static partial long Lseek(int fd, long offset, int whence);

    [LibraryImport(C, EntryPoint = "fallocate", SetLastError = true)]
    internal static partial int Fallocate(int fd, int mode, long offset, long length);

    [LibraryImport(C, EntryPoint = "renameat2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int RenameAt2(int fromFd, string from, int toFd, string to, uint flags);

    [LibraryImport(C, EntryPoint = "name_to_handle_at", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int NameToHandleAt(int fd, string path, byte* handle, int* mountId, int flags);

    [LibraryImport(C, EntryPoint = "open_by_handle_at", SetLastError = true)]
    internal static partial int OpenByHandleAt(int mountFd, byte* handle, int flags);

    [LibraryImport(C, EntryPoint = "mount", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Mount(string source, string target, string? type, nuint flags, string? data);

    /// <summary>
    /// Copies outside the runtime: a page fault on a mapping must not stop a thread that the collector would wait for, when the
    /// file system's daemon lives in this very process.
    /// </summary>
    [LibraryImport(C, EntryPoint = "memcpy")]
    internal static partial void* MemCopy(void* to, void* from, nuint count);

    [LibraryImport(C, EntryPoint = "kill", SetLastError = true)]
    internal static partial int Kill(int pid, int signal);
}
