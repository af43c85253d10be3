using System.Runtime.InteropServices;
using System.Text;

namespace ZfsLite.Cli.Posix;

/// <summary>The few system calls of the command that the framework and Mono.Posix lack.</summary>
internal static unsafe partial class Native
{
    internal const int EPERM = 1;
    internal const int EINVAL = 22;
    internal const int EBUSY = 16;
    internal const int MntDetach = 2;
    private const int SolSocket = 1;
    private const int SoPeercred = 17;
    private const int StatxType = 1;
    private const int StatxOwner = 8;
    private const int StatxIno = 0x100;
    private const int AtFdcwd = -100;
    private const int AtSymlinkNofollow = 0x100;

    [LibraryImport("libc", EntryPoint = "geteuid")]
    internal static partial uint GetEUid();

    [LibraryImport("libc", EntryPoint = "getegid")]
    internal static partial uint GetEGid();

    [LibraryImport("libc", EntryPoint = "setsid", SetLastError = true)]
    internal static partial int SetSid();

    [LibraryImport("libc", EntryPoint = "dup2", SetLastError = true)]
    internal static partial int Dup2(int from, int to);

    [LibraryImport("libc", EntryPoint = "umask")]
    internal static partial uint Umask(uint mask);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    internal static partial int Kill(int pid, int signal);

    /// <summary>_exit(2): ends the process now, with nothing flushed and no handler run.</summary>
    [LibraryImport("libc", EntryPoint = "_exit")]
    internal static partial void ExitNow(int code);

    [LibraryImport("libc", EntryPoint = "umount2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Umount2(string target, int flags);

    [LibraryImport("libc", EntryPoint = "mount", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Mount(string? source, string target, string? type, nuint flags, string? data);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    private static partial int GetSockOpt(nint socket, int level, int name, void* value, uint* length);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, byte* buffer);

    [LibraryImport("libc", EntryPoint = "execve", SetLastError = true)]
    private static partial int Execve(byte* path, byte** argv, byte** envp);

    /// <summary>The text of an errno.</summary>
    internal static string Error(int errno) => Marshal.GetPInvokeErrorMessage(errno);

    /// <summary>User id at the other end of a Unix socket; null if the kernel does not say.</summary>
    internal static uint? PeerUid(nint socket)
    {
        uint* credentials = stackalloc uint[3];
        uint length = 12;
        return GetSockOpt(socket, SolSocket, SoPeercred, credentials, &length) == 0 && length == 12 ? credentials[1] : null;
    }

    /// <summary>Owner of a file, not following a symbolic link; null if there is none.</summary>
    internal static uint? OwnerOf(string path)
    {
        byte* buffer = stackalloc byte[256];
        return Statx(AtFdcwd, path, AtSymlinkNofollow, StatxOwner, buffer) == 0 ? *(uint*)(buffer + 20) : null;
    }

    /// <summary>What a path leads to, symbolic links followed.</summary>
    internal static FileKind KindOf(string path)
    {
        byte* buffer = stackalloc byte[256];
        if (Statx(AtFdcwd, path, 0, StatxType, buffer) != 0)
        {
            return FileKind.None;
        }

        return (*(ushort*)(buffer + 28) & 0xf000) switch
        {
            0x8000 => FileKind.Regular,
            0x4000 => FileKind.Directory,
            0x6000 => FileKind.Block,
            _ => FileKind.Other,
        };
    }

    /// <summary>What a path leads to, by number: two paths to the same file or block device give the same. Null if there is nothing.</summary>
    internal static (ulong Device, ulong Inode)? IdentityOf(string path)
    {
        byte* buffer = stackalloc byte[256];
        if (Statx(AtFdcwd, path, 0, StatxType | StatxIno, buffer) != 0)
        {
            return null;
        }

        bool block = (*(ushort*)(buffer + 28) & 0xf000) == 0x6000;
        return block ? (*(ulong*)(buffer + 128), ulong.MaxValue) : (*(ulong*)(buffer + 136), *(ulong*)(buffer + 32));
    }

    /// <summary>Replaces the program of this process. Returns only on failure, with the errno.</summary>
    internal static int Exec(string path, IReadOnlyList<string> argv, IReadOnlyList<string> environment)
    {
        byte** args = ToVector(argv);
        byte** env = ToVector(environment);
        byte* file = ToUtf8(path);
        _ = Execve(file, args, env);
        return Marshal.GetLastPInvokeError();
    }

    private static byte** ToVector(IReadOnlyList<string> strings)
    {
        byte** vector = (byte**)NativeMemory.AllocZeroed((nuint)(strings.Count + 1), (nuint)sizeof(byte*));
        for (int i = 0; i < strings.Count; i++)
        {
            vector[i] = ToUtf8(strings[i]);
        }

        return vector;
    }

    private static byte* ToUtf8(string text)
    {
        int length = Encoding.UTF8.GetByteCount(text);
        byte* bytes = (byte*)NativeMemory.AllocZeroed((nuint)length + 1);
        Encoding.UTF8.GetBytes(text, new Span<byte>(bytes, length));
        return bytes;
    }
}
