using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>The system calls of the FUSE door that Mono.Posix lacks or that are on the hot path.</summary>
internal static unsafe partial class FuseLibc
{
    internal const int FSetfl = 4;
    internal const int ONonblock = 0x800;
    internal const short PollIn = 1;
    internal const int ORdonly = 0;
    internal const int ORdwr = 2;
    internal const int OCloexec = 0x80000;
    internal const int ONoAtime = 0x40000;
    internal const int ODirectory = 0x10000;
    internal const int CloneFiles = 0x400;
    internal const int MsRdonly = 1;
    internal const int MsNosuid = 2;
    internal const int MsNodev = 4;
    internal const int MsNoexec = 8;
    internal const int MntForce = 1;
    internal const int MntDetach = 2;
    internal const int AfUnix = 1;
    internal const int SockStream = 1;
    internal const int PrSetIoFlusher = 57;
    internal const int PrGetIoFlusher = 58;

    private const string C = "libc";

    [LibraryImport(C, EntryPoint = "readv", SetLastError = true)]
    internal static partial nint ReadV(int fd, Iovec* pieces, int count);

    [LibraryImport(C, EntryPoint = "writev", SetLastError = true)]
    internal static partial nint WriteV(int fd, Iovec* pieces, int count);

    [LibraryImport(C, EntryPoint = "poll", SetLastError = true)]
    internal static partial int Poll(PollFd* fds, nuint count, int milliseconds);

    [LibraryImport(C, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags);

    [LibraryImport(C, EntryPoint = "close", SetLastError = true)]
    internal static partial int Close(int fd);

    [LibraryImport(C, EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int Fcntl(int fd, int command, int argument);

    [LibraryImport(C, EntryPoint = "mount", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Mount(string source, string target, string type, nuint flags, string data);

    [LibraryImport(C, EntryPoint = "umount2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Umount2(string target, int flags);

    [LibraryImport(C, EntryPoint = "syncfs", SetLastError = true)]
    internal static partial int SyncFs(int fd);

    [LibraryImport(C, EntryPoint = "sync_file_range", SetLastError = true)]
    internal static partial int SyncFileRange(int fd, long offset, long length, uint flags);

    [LibraryImport(C, EntryPoint = "open_by_handle_at", SetLastError = true)]
    internal static partial int OpenByHandleAt(int mount, uint* handle, int flags);

    [LibraryImport(C, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Statx(int dir, string path, int flags, uint mask, uint* status);

    [LibraryImport(C, EntryPoint = "close_range", SetLastError = true)]
    internal static partial int CloseRange(uint first, uint last, uint flags);

    [LibraryImport(C, EntryPoint = "unshare", SetLastError = true)]
    internal static partial int Unshare(int flags);

    /// <summary>Returns an errno. How: 0 blocks.</summary>
    [LibraryImport(C, EntryPoint = "pthread_sigmask")]
    internal static partial int SigMask(int how, ulong* set, ulong* old);

    [LibraryImport(C, EntryPoint = "socketpair", SetLastError = true)]
    internal static partial int SocketPair(int domain, int type, int protocol, int* fds);

    [LibraryImport(C, EntryPoint = "recvmsg", SetLastError = true)]
    internal static partial nint RecvMsg(int fd, MsgHeader* message, int flags);

    [LibraryImport(C, EntryPoint = "prctl", SetLastError = true)]
    internal static partial int Prctl(int option, nuint arg2, nuint arg3, nuint arg4, nuint arg5);

    [LibraryImport(C, EntryPoint = "gettid")]
    internal static partial int GetTid();

    [LibraryImport(C, EntryPoint = "getpid")]
    internal static partial int GetPid();

    [LibraryImport(C, EntryPoint = "geteuid")]
    internal static partial uint GetEuid();

    [LibraryImport(C, EntryPoint = "getegid")]
    internal static partial uint GetEgid();

    [LibraryImport(C, EntryPoint = "tgkill", SetLastError = true)]
    internal static partial int TgKill(int pid, int tid, int signal);

    [LibraryImport(C, EntryPoint = "sigaction", SetLastError = true)]
    internal static partial int SigAction(int signal, byte* action, byte* old);

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct PollFd
    {
        internal int Fd;
        internal short Events;
        internal short Returned;
    }

    /// <summary>struct msghdr on 64-bit Linux.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct MsgHeader
    {
        internal void* Name;
        internal uint NameLength;
        internal Iovec* Pieces;
        internal nuint PieceCount;
        internal void* Control;
        internal nuint ControlLength;
        internal int Flags;
    }
}
