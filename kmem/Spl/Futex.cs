using System.Runtime.InteropServices;

namespace ZfsLite.Kmem.Spl;

/// <summary>futex(2): what threads sleep on. The word lies in pinned memory.</summary>
internal static unsafe partial class Futex
{
    private const int WaitPrivate = 0 | 128;
    private const int WakePrivate = 1 | 128;

    private static readonly nint s_number = RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 202,
        Architecture.Arm64 => 98,
        _ => throw new PlatformNotSupportedException("futex: unknown system call number on this processor"),
    };

    /// <summary>Sleeps while the word holds <paramref name="expected"/>; may return early.</summary>
    internal static void Wait(int* word, int expected) => _ = Syscall(s_number, word, WaitPrivate, expected, null, null, 0);

    /// <summary>As <see cref="Wait(int*, int)"/>, for at most so many nanoseconds.</summary>
    internal static void Wait(int* word, int expected, long ns)
    {
        var timeout = new Timespec { Seconds = ns / 1_000_000_000, Nanoseconds = ns % 1_000_000_000 };
        _ = Syscall(s_number, word, WaitPrivate, expected, &timeout, null, 0);
    }

    /// <summary>Wakes one sleeper.</summary>
    internal static void WakeOne(int* word) => _ = Syscall(s_number, word, WakePrivate, 1, null, null, 0);

    /// <summary>Lets timed sleeps of the calling thread end when they are due, not up to 50 µs later.</summary>
    internal static void SetExactTimers() => _ = Prctl(29, 1, 0, 0, 0);

    [LibraryImport("libc", EntryPoint = "prctl")]
    private static partial int Prctl(int option, nint a, nint b, nint c, nint d);

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint Syscall(nint number, int* word, nint op, nint value, Timespec* timeout, int* word2, nint value3);

    private struct Timespec
    {
        internal long Seconds;
        internal long Nanoseconds;
    }
}
