using System.Runtime.InteropServices;

namespace ZfsLite.Stress;

/// <summary>The calls that the framework does not offer.</summary>
internal static partial class Posix
{
    private const int ODirectory = 0x10000;

    /// <summary>fsync of a directory. Throws IOException.</summary>
    internal static void SyncDirectory(string path)
    {
        int fd = Open(path, ODirectory);
        int rc = fd < 0 ? -1 : Fsync(fd);
        int errno = Marshal.GetLastPInvokeError();
        if (fd >= 0)
        {
            _ = Close(fd);
        }

        if (rc != 0)
        {
            throw new IOException($"fsync of {path}: {Marshal.GetPInvokeErrorMessage(errno)}");
        }
    }

    /// <summary>
    /// Stores bytes in a mapping, by the kernel's hand: where a page can't be had any more, because the daemon was killed, that is an
    /// IOException, and not the signal that ends the process. Throws IOException.
    /// </summary>
    internal static unsafe void StoreMapped(byte* mapped, ReadOnlySpan<byte> data)
    {
        fixed (byte* source = data)
        {
            var local = new IoVec { Base = source, Length = (nuint)data.Length };
            var remote = new IoVec { Base = mapped, Length = (nuint)data.Length };
            if (ProcessVmWrite(Environment.ProcessId, &local, 1, &remote, 1, 0) != data.Length)
            {
                throw new IOException($"write to a mapping: {Marshal.GetLastPInvokeErrorMessage()}");
            }
        }
    }

    /// <summary>kill(2). True if it was sent.</summary>
    internal static bool Kill(int pid, int signal) => KillCall(pid, signal) == 0;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(int fd);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int fd);

    [LibraryImport("libc", EntryPoint = "process_vm_writev", SetLastError = true)]
    private static unsafe partial nint ProcessVmWrite(int pid, IoVec* local, nuint localCount, IoVec* remote, nuint remoteCount, nuint flags);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int KillCall(int pid, int signal);

    private unsafe struct IoVec
    {
        internal byte* Base;
        internal nuint Length;
    }
}
