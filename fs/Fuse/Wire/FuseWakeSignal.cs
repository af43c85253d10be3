using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>
/// A real-time signal that does nothing but cut a blocked system call of one thread short. It is how a reader of /dev/fuse is
/// woken without a second descriptor to poll, which would cost every request a system call. The handler is the C library's
/// own abs(): any argument, no effect, safe in a signal; SA_RESTART is off, so the call returns EINTR.
/// </summary>
internal static unsafe class FuseWakeSignal
{
    // 34 is the runtime's own, 32 and 33 the C library's.
    private const int Number = 42;

    // struct sigaction: handler, 128 bytes of mask, flags, restorer.
    private const int SigActionBytes = 152;

    private static readonly bool s_installed = Install();

    /// <summary>Installs the handler; false if the system refused.</summary>
    internal static bool IsInstalled => s_installed;

    /// <summary>Interrupts a thread of this process.</summary>
    internal static void Send(int tid)
    {
        if (s_installed)
        {
            FuseLibc.TgKill(FuseLibc.GetPid(), tid, Number);
        }
    }

    private static bool Install()
    {
        nint libc = NativeLibrary.Load("libc", typeof(FuseWakeSignal).Assembly, null);
        byte* action = stackalloc byte[SigActionBytes];
        NativeMemory.Clear(action, SigActionBytes);
        *(nint*)action = NativeLibrary.GetExport(libc, "abs");
        return FuseLibc.SigAction(Number, action, null) == 0;
    }
}
