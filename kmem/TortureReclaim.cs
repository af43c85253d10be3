using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// --torture-reclaim N: one in N unmarked sleeping allocations runs the shrinkers with the mask it has, so that a rare event
/// becomes a daily one. Counted per virtual CPU, without randomness: a simulated run repeats exactly.
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
        if ((flags & KmFlags.NoSleep) != 0 || Gfp.IsMarked(_system.Policy, self.Flags) || Reclaimer.InReclaim(self))
        {
            return;
        }

        ref int count = ref _counts[self.Cpu * Stride];
        if (++count >= Rate)
        {
            count = 0;
            _system.Reclaimer.Torture(Gfp.Convert(flags, _system.Policy, self.Flags), self);
        }
    }
}
