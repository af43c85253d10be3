using System.Runtime.CompilerServices;

namespace ZfsLite.Kmem.Spl;

/// <summary>
/// The deterministic simulator behind the Spl types. Outside <see cref="SimWorld.Run"/> there is one adopted thread and no
/// scheduling: points do nothing, a wait with a deadline moves the clock, a wait without one is an error.
/// </summary>
internal static class SimBackend
{
    internal static SimRun? Run;

    /// <summary>Changes with every run: primitives in statics see by it that their state is of another world.</summary>
    internal static int Epoch = 1;

    private static long s_outsideNs;
    private static SplRandom s_outsideRandom = new(0x5EED);

    /// <summary>True while threads of an ended run are unwound: releasing what isn't held is then no error.</summary>
    internal static bool Aborting => Run is { Aborting: true };

    /// <summary>Nothing waits any more while threads are unwound.</summary>
    internal static void ThrowIfAborting() => Run?.ThrowIfAborting();

    internal static long NowNs => Run is { } run ? run.NowNs : s_outsideNs;

    internal static void Start(Kthread thread)
    {
        SimRun run = Run ?? throw new InvalidOperationException(
            $"thread {thread} starts outside SimWorld.Run: on the simulator threads live in a run");
        run.Start(thread);
    }

    internal static bool Park(Kthread self, long deadlineNs)
    {
        if (Run is { } run)
        {
            return run.Park(deadlineNs);
        }

        if (self.SimPermit)
        {
            self.SimPermit = false;
            return true;
        }

        if (deadlineNs == long.MaxValue)
        {
            throw new InvalidOperationException($"{self} would wait for {self.WaitingFor?.WaitName} for ever, outside SimWorld.Run");
        }

        s_outsideNs = Math.Max(s_outsideNs, deadlineNs);
        return false;
    }

    internal static void Unpark(Kthread thread)
    {
        if (Run is { } run)
        {
            run.Unpark(thread);
        }
        else
        {
            thread.SimPermit = true;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Point() => Run?.Point();

    internal static void Yield() => Run?.Yield();

    internal static ulong NextRandom() => Run is { } run ? run.NextRandom() : s_outsideRandom.Next();
}
