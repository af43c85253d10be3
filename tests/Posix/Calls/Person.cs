using System.Runtime.InteropServices;

namespace ZfsLite.Tests.Posix;

/// <summary>
/// Somebody else than root. What is done as another user is done by a thread of its own: credentials, the current directory and
/// the umask belong to threads in Linux, when the C library does not tie them together. The thread has no capabilities.
/// </summary>
internal sealed record Person(uint Uid, uint Gid, params uint[] Groups)
{
    private const int CloneFs = 0x200;

    /// <summary>The usual stranger.</summary>
    internal static readonly Person Nobody = new(65534, 65534);

    /// <summary>Another one.</summary>
    internal static readonly Person Other = new(12345, 12345);

    /// <summary>Runs something as this person, in a directory (which it need not be able to reach) and with a umask.</summary>
    internal T Do<T>(string directory, Func<T> action, uint umask = 0x12)
    {
        return OnThread(directory, () =>
        {
            Become();
            return action();
        }, umask);
    }

    /// <summary>Runs something as the same user, in a directory and with a umask that nobody else notices.</summary>
    internal static T OnThread<T>(string directory, Func<T> action, uint umask)
    {
        T? result = default;
        Exception? error = null;
        var thread = new Thread(() =>
        {
            try
            {
                Check(Libc.Unshare(CloneFs), "unshare");
                Check(Libc.Chdir(directory), "chdir");
                _ = Libc.Umask(umask);
                result = action();
            }
            catch (Exception e)
            {
                error = e;
            }
            finally
            {
                // A thread that the runtime started from this one shares its directory, and outlives it.
                _ = Libc.Chdir("/");
            }
        });
        thread.Start();
        thread.Join();
        return error is null ? result! : throw new InvalidOperationException(error.Message, error);
    }

    private static void Check(long result, string what)
    {
        if (result < 0)
        {
            throw new InvalidOperationException($"{what}: {E.Name(-Marshal.GetLastPInvokeError())}");
        }
    }

    private unsafe void Become()
    {
        bool arm = RuntimeInformation.ProcessArchitecture == Architecture.Arm64;
        fixed (uint* groups = Groups)
        {
            Check(Libc.Syscall3(arm ? 159 : 116, Groups.Length, (nint)groups, 0), "setgroups");
        }

        Check(Libc.Syscall3(arm ? 149 : 119, (nint)Gid, (nint)Gid, (nint)Gid), "setresgid");
        Check(Libc.Syscall3(arm ? 147 : 117, (nint)Uid, (nint)Uid, (nint)Uid), "setresuid");
    }
}
