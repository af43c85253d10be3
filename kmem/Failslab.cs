using System.Globalization;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// Allocations that fail by order, with the attributes that Linux's failslab has in debugfs, and two more (nth, seed). The caches whose
/// debugging has the letter A take part (<see cref="SlabDebugFlags.Failslab"/>). One that must not sleep gives null; one that may sleep has
/// failed at its first attempt: its thread reclaims, with the mask its marks leave, and tries again.
/// <para>
/// In this order, as there: with nth, the nth allocation alone fails; without it, none while times is 0; the first space bytes pass; only every
/// interval-th may fail; of these, probability in a hundred do. What chance says depends on seed and the number of the allocation alone, so a
/// run repeats as far as its threads do.
/// </para>
/// </summary>
internal sealed class Failslab(KmemSystem system)
{
    /// <summary>The name under which its attributes are read and set.</summary>
    internal const string Name = "failslab";

    private static readonly string[] s_names =
        ["failed", "ignore-gfp-wait", "interval", "nth", "probability", "seed", "seen", "space", "stalled", "times"];

    private long _failed;
    private long _stalled;
    private long _seen;
    private long _space;
    private long _times = -1;
    private long _nth;
    private long _interval = 1;
    private long _probability;
    private long _seed = 1;
    private long _ignoresSleeping = 1;

    /// <summary>Allocations that took part since the last attribute was set.</summary>
    internal long Seen => Katomic.Load(ref _seen);

    /// <summary>Allocations that gave null.</summary>
    internal long Failed => Katomic.Load(ref _failed);

    /// <summary>Allocations that reclaimed and tried again.</summary>
    internal long Stalled => Katomic.Load(ref _stalled);

    /// <summary>Every attribute.</summary>
    internal static IReadOnlyList<string> Names => s_names;

    /// <summary>True: the allocation has to fail.</summary>
    internal bool Hits(KmFlags flags, long size, Kthread self)
    {
        bool sleeps = (flags & KmFlags.NoSleep) == 0;
        if ((sleeps && (_ignoresSleeping != 0 || Reclaimer.InReclaim(self))) || !Chosen(size))
        {
            return false;
        }

        if (!sleeps)
        {
            Katomic.Increment(ref _failed);
            return true;
        }

        Katomic.Increment(ref _stalled);
        system.Reclaimer.Torture(Gfp.Convert(flags, system.Policy, self.Flags), self);
        return false;
    }

    /// <summary>The value of an attribute, or null.</summary>
    internal string? Get(string name)
    {
        long? value = name switch
        {
            "failed" => Failed,
            "seen" => Seen,
            "stalled" => Stalled,
            _ when IsSettable(name) => Settable(name),
            _ => null,
        };
        return value?.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>Can it be set?</summary>
    internal static bool IsWritable(string name) => name is not ("failed" or "seen" or "stalled");

    /// <summary>Sets an attribute, and begins to count anew. The range it must be in, or null: it is set.</summary>
    internal string? Set(string name, long value)
    {
        (long least, long most) = name switch
        {
            "probability" => (0, 100),
            "interval" => (1, int.MaxValue),
            "times" => (-1, int.MaxValue),
            "ignore-gfp-wait" => (0, 1),
            _ => (0L, int.MaxValue),
        };
        if (value < least || value > most)
        {
            return string.Create(CultureInfo.InvariantCulture, $"{least} to {most}");
        }

        Katomic.Store(ref Settable(name), value);
        Katomic.Store(ref _seen, 0);
        return null;
    }

    private static bool IsSettable(string name) => Array.IndexOf(s_names, name) >= 0 && IsWritable(name);

    private bool Chosen(long size)
    {
        long nth = Katomic.Load(ref _nth);
        long probability = Katomic.Load(ref _probability);
        long number = Katomic.Increment(ref _seen);
        if (nth != 0)
        {
            return number == nth;
        }

        if (probability == 0 || Katomic.Load(ref _times) == 0)
        {
            return false;
        }

        if (Katomic.Load(ref _space) > 0)
        {
            _ = Katomic.Add(ref _space, -Math.Min(size, _space));
            return false;
        }

        if (number % Katomic.Load(ref _interval) != 0 || (probability < 100 && Chance(number) >= (ulong)probability))
        {
            return false;
        }

        return TakeOne();
    }

    /// <summary>Takes one of the times that are left, if their number is limited. Several threads never take more than there are.</summary>
    private bool TakeOne()
    {
        while (true)
        {
            long left = Katomic.Load(ref _times);
            if (left <= 0)
            {
                return left < 0;
            }

            if (Katomic.CompareExchange(ref _times, left - 1, left) == left)
            {
                return true;
            }
        }
    }

    /// <summary>0 to 99, by seed and number (splitmix64).</summary>
    private ulong Chance(long number)
    {
        ulong x = ((ulong)_seed << 32) + ((ulong)number * 0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)) * 0xbf58_476d_1ce4_e5b9;
        x = (x ^ (x >> 27)) * 0x94d0_49bb_1331_11eb;
        return (x ^ (x >> 31)) % 100;
    }

    private ref long Settable(string name)
    {
        switch (name)
        {
            case "interval":
                return ref _interval;
            case "nth":
                return ref _nth;
            case "probability":
                return ref _probability;
            case "seed":
                return ref _seed;
            case "space":
                return ref _space;
            case "times":
                return ref _times;
            default:
                return ref _ignoresSleeping;
        }
    }
}
