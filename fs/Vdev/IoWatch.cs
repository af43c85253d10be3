using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The I/O of a device that is under way: nobody can break off a system call, but everybody can be told since when it has not come back, and the
/// wait-for graph shows its thread as waiting for it. It has room for as many as are worth it; the others are not watched.
/// </summary>
internal sealed class IoWatch
{
    private const int Slots = 16;

    private readonly IoWait[] _slots = new IoWait[Slots];

    internal IoWatch(string path)
    {
        for (int i = 0; i < Slots; i++)
        {
            _slots[i] = new IoWait(path);
        }
    }

    /// <summary>I/O of this thread begins. What is returned ends it.</summary>
    internal IoWait? Begin(IoKind kind, long offset, long length)
    {
        Kthread self = Kthread.Current;
        long now = Kclock.NowNs;
        long word = Math.Max(4, now & ~3L) | (long)kind;
        for (int i = 0; i < Slots; i++)
        {
            IoWait slot = _slots[(self.Id + i) % Slots];
            if (slot.Word == 0 && Katomic.CompareExchange(ref slot.Word, word, 0) == 0)
            {
                slot.Offset = offset;
                slot.Length = length;
                self.BeginOutsideWait(slot, now);
                return slot;
            }
        }

        return null;
    }

    /// <summary>It has come back.</summary>
    internal static void End(IoWait? io)
    {
        if (io is not null)
        {
            Kthread.Current.EndOutsideWait();
            Katomic.Store(ref io.Word, 0);
        }
    }

    /// <summary>The oldest that is under way: what, and for how long, nanoseconds; 0: there is none.</summary>
    internal (IoKind Kind, long AgeNs) Oldest()
    {
        long oldest = 0;
        foreach (IoWait slot in _slots)
        {
            long word = Katomic.Load(ref slot.Word);
            oldest = word != 0 && (oldest == 0 || word < oldest) ? word : oldest;
        }

        return oldest == 0 ? (IoKind.Read, 0) : ((IoKind)(oldest & 3), Math.Max(1, Kclock.NowNs - oldest));
    }
}
