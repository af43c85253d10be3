using System.Diagnostics;

namespace ZfsLite.Kmem.Spl;

/// <summary>Clocks: monotonic (gethrtime) and wall (gethrestime). Virtual in the simulator.</summary>
public static class Kclock
{
    private static readonly long s_start = Stopwatch.GetTimestamp();
    private static readonly double s_nsPerTick = 1e9 / Stopwatch.Frequency;

    /// <summary>Monotonic nanoseconds since the process began.</summary>
    public static long NowNs => SplPlatform.IsSimulated
        ? SimBackend.NowNs
        : (long)((Stopwatch.GetTimestamp() - s_start) * s_nsPerTick);

    /// <summary>Wall time: seconds since 1970 and nanoseconds within the second.</summary>
    public static (long Seconds, long Nanoseconds) WallTime()
    {
        if (SplPlatform.IsSimulated)
        {
            long ns = SimBackend.NowNs;
            return (1_400_000_000 + (ns / 1_000_000_000), ns % 1_000_000_000);
        }

        long ticks = DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks;
        return (ticks / TimeSpan.TicksPerSecond, ticks % TimeSpan.TicksPerSecond * 100);
    }
}
