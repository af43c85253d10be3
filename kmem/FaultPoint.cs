using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>For tests: ordinary allocations of chosen threads fail, or stall where they may sleep. Reserves of memory pools are not
/// ordinary. Asked only if <see cref="KmemOptions.FaultPoints"/>.</summary>
internal sealed class FaultPoint(KmemSystem system)
{
    private const long PauseNs = 10_000_000;

    private long _failed;
    private long _stalled;

    /// <summary>Which threads; null: none.</summary>
    internal Func<Kthread, bool>? Threads { get; set; }

    /// <summary>Allocations that failed at once.</summary>
    internal long Failed => Katomic.Load(ref _failed);

    /// <summary>Allocations that stalled.</summary>
    internal long Stalled => Katomic.Load(ref _stalled);

    /// <summary>True: the allocation has to fail. A sleeping one returns false when the fault is over, or throws.</summary>
    internal bool Hits(KmFlags flags, Kthread self)
    {
        if (Threads is not { } hit || !hit(self))
        {
            return false;
        }

        if ((flags & KmFlags.NoSleep) != 0)
        {
            Katomic.Increment(ref _failed);
            return true;
        }

        Katomic.Increment(ref _stalled);
        long end = Kclock.NowNs + system.Options.OomTimeoutNs;
        while (Threads is { } still && still(self))
        {
            if (Kclock.NowNs >= end)
            {
                throw new KmemExhaustedException($"out of memory, by order of a test; thread {self} waited for {system.Options.OomTimeoutNs / 1_000_000} ms");
            }

            Kthread.Sleep(PauseNs);
        }

        return false;
    }
}
