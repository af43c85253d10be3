using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The I/O of a device that is under way: nobody can break off a system call, but everybody can be told since when it has not come back.
/// It has room for as many as are worth it; the others are not watched.
/// </summary>
internal sealed class IoWatch
{
    private const int Slots = 16;

    // Since when, nanoseconds; the lowest two bits: what. 0: free.
    private readonly long[] _since = new long[Slots];

    /// <summary>I/O begins. What is returned ends it.</summary>
    internal int Begin(IoKind kind)
    {
        long word = Math.Max(4, Kclock.NowNs & ~3L) | (long)kind;
        int start = Kthread.Current.Id;
        for (int i = 0; i < Slots; i++)
        {
            int slot = (start + i) % Slots;
            if (_since[slot] == 0 && Katomic.CompareExchange(ref _since[slot], word, 0) == 0)
            {
                return slot;
            }
        }

        return -1;
    }

    /// <summary>It has come back.</summary>
    internal void End(int slot)
    {
        if (slot >= 0)
        {
            Katomic.Store(ref _since[slot], 0);
        }
    }

    /// <summary>The oldest that is under way: what, and for how long, nanoseconds; 0: there is none.</summary>
    internal (IoKind Kind, long AgeNs) Oldest()
    {
        long oldest = 0;
        foreach (ref long since in _since.AsSpan())
        {
            long word = Katomic.Load(ref since);
            oldest = word != 0 && (oldest == 0 || word < oldest) ? word : oldest;
        }

        return oldest == 0 ? (IoKind.Read, 0) : ((IoKind)(oldest & 3), Math.Max(1, Kclock.NowNs - oldest));
    }
}
