using System.Runtime.InteropServices;

namespace ZfsLite.Kmem.Spl;

/// <summary>
/// Keeps all threads of the simulator on one processor. Only one of them is ever awake, and a hand-off within a processor is
/// a plain context switch (about 2 µs), where one across processors has to wake an idle one (about 20 µs on a virtual machine).
/// </summary>
internal static unsafe partial class SimCpu
{
    private const int MaskWords = 16;

    private static readonly int s_cpu = GetCpu();

    /// <summary>Moves the calling thread to the simulator's processor. Best effort.</summary>
    internal static void Pin()
    {
        if (s_cpu >= 0 && s_cpu < MaskWords * 64)
        {
            ulong* mask = stackalloc ulong[MaskWords];
            new Span<ulong>(mask, MaskWords).Clear();
            mask[s_cpu >> 6] = 1UL << s_cpu;
            _ = SetAffinity(0, MaskWords * sizeof(ulong), mask);
        }
    }

    /// <summary>As <see cref="Pin"/>, and what to give to <see cref="Restore"/>.</summary>
    internal static ulong[]? PinCaller()
    {
        var saved = new ulong[MaskWords];
        fixed (ulong* p = saved)
        {
            if (GetAffinity(0, MaskWords * sizeof(ulong), p) < 0)
            {
                return null;
            }
        }

        Pin();
        return saved;
    }

    /// <summary>Lets the calling thread run where it could before.</summary>
    internal static void Restore(ulong[]? saved)
    {
        if (saved is not null)
        {
            fixed (ulong* p = saved)
            {
                _ = SetAffinity(0, MaskWords * sizeof(ulong), p);
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "sched_getcpu")]
    private static partial int GetCpu();

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static partial int SetAffinity(int pid, nint bytes, ulong* mask);

    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    private static partial int GetAffinity(int pid, nint bytes, ulong* mask);
}
