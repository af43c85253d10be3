using System.Diagnostics;
using System.Runtime.InteropServices;

namespace ZfsLite.Kmem.Spl;

/// <summary>Clocks: monotonic (gethrtime) and wall (gethrestime). Virtual in the simulator.</summary>
public static unsafe partial class Kclock
{
    private const int RealtimeCoarse = 5;

    private static readonly long s_start = Stopwatch.GetTimestamp();
    private static readonly double s_nsPerTick = 1e9 / Stopwatch.Frequency;

    /// <summary>Monotonic nanoseconds since the process began.</summary>
    public static long NowNs => SplPlatform.IsSimulated
        ? SimBackend.NowNs
        : (long)((Stopwatch.GetTimestamp() - s_start) * s_nsPerTick);

    /// <summary>
    /// Wall time: seconds since 1970 and nanoseconds within the second, in steps of the kernel's tick (CLOCK_REALTIME_COARSE),
    /// as kernel file systems stamp their files. A time that this process gives and one that the kernel takes in the same tick
    /// are then equal, which saves the kernel from correcting a new file's mtime.
    /// </summary>
    public static (long Seconds, long Nanoseconds) WallTime()
    {
        if (SplPlatform.IsSimulated)
        {
            long ns = SimBackend.NowNs;
            return (1_400_000_000 + (ns / 1_000_000_000), ns % 1_000_000_000);
        }

        Timespec now;
        _ = ClockGetTime(RealtimeCoarse, &now);
        return (now.Seconds, now.Nanoseconds);
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    [SuppressGCTransition]
    private static partial int ClockGetTime(int clock, Timespec* now);

    private struct Timespec
    {
        internal long Seconds;
        internal long Nanoseconds;
    }
}
