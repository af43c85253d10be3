using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// --torture-reclaim N: one in N unmarked sleeping allocations runs the shrinkers with the mask it has, so that a rare event
/// becomes a daily one. One in N marked ones counts as turned away. Counted per virtual CPU, without randomness: a simulated run repeats exactly.
/// </summary>
internal sealed class TortureReclaim
{
    private const int Stride = 8;

    private readonly KmemSystem _system;
    private readonly int[] _counts;

    internal TortureReclaim(KmemSystem system, int rate)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rate);
        _system = system;
        Rate = rate;
        _counts = new int[(Kthread.CpuCount + 1) * Stride];
    }

    /// <summary>One in so many; 0: never.</summary>
    internal int Rate { get; }

    /// <summary>Called by every allocation when the rate is not 0.</summary>
    internal void Point(KmFlags flags, Kthread self)
    {
        if ((flags & KmFlags.NoSleep) != 0 || Reclaimer.InReclaim(self))
        {
            return;
        }

        bool marked = Gfp.IsMarked(_system.Policy, self.Flags);
        ref int count = ref _counts[(self.Cpu * Stride) + (marked ? 1 : 0)];
        if (++count < Rate)
        {
            return;
        }

        count = 0;
        if (marked)
        {
            Katomic.Increment(ref _system.Counters.TurnedAway);
        }
        else
        {
            _system.Reclaimer.Torture(Gfp.Convert(flags, _system.Policy, self.Flags), self);
        }
    }
}
