using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>
/// A ring of the last txgs with the time of each change of state. Changed by the quiesce and sync threads, a few times per
/// txg; guarded by its own mutex, under which nothing else is taken.
/// </summary>
internal sealed class TxgHistory(int length)
{
    private readonly Kmutex _lock = new("txg_history");
    private readonly Entry[] _ring = new Entry[length];

    /// <summary>Enters a state, now.</summary>
    internal void Enter(long txg, TxgState state)
    {
        long now = Kclock.NowNs;
        _lock.Enter();
        ref Entry e = ref _ring[txg % _ring.Length];
        if (state == TxgState.Open)
        {
            e = new Entry { Txg = txg, BirthNs = now };
        }

        if (e.Txg == txg)
        {
            e.State = state;
            e.Mark(state, now);
        }

        _lock.Exit();
    }

    /// <summary>Records the dirty bytes of a txg.</summary>
    internal void SetDirty(long txg, long bytes)
    {
        _lock.Enter();
        ref Entry e = ref _ring[txg % _ring.Length];
        if (e.Txg == txg)
        {
            e.DirtyBytes = bytes;
        }

        _lock.Exit();
    }

    /// <summary>The remembered txgs, oldest first.</summary>
    internal List<TxgRecord> Snapshot()
    {
        long now = Kclock.NowNs;
        var list = new List<TxgRecord>(_ring.Length);
        _lock.Enter();
        foreach (ref readonly Entry e in _ring.AsSpan())
        {
            if (e.Txg != 0)
            {
                list.Add(e.ToRecord(now));
            }
        }

        _lock.Exit();
        list.Sort(static (a, b) => a.Txg.CompareTo(b.Txg));
        return list;
    }

    private struct Entry
    {
        internal long Txg;
        internal TxgState State;
        internal long BirthNs;
        internal long QuiescingNs;
        internal long QuiescedNs;
        internal long SyncingNs;
        internal long CommittedNs;
        internal long DirtyBytes;

        internal void Mark(TxgState state, long now)
        {
            switch (state)
            {
                case TxgState.Quiescing:
                    QuiescingNs = now;
                    break;
                case TxgState.Quiesced:
                    QuiescedNs = now;
                    break;
                case TxgState.Syncing:
                    SyncingNs = now;
                    break;
                case TxgState.Committed:
                    CommittedNs = now;
                    break;
                default:
                    break;
            }
        }

        internal readonly TxgRecord ToRecord(long now) => new(
            (ulong)Txg,
            State,
            BirthNs,
            Span(TxgState.Open, BirthNs, QuiescingNs, now),
            Span(TxgState.Quiescing, QuiescingNs, QuiescedNs, now),
            Span(TxgState.Quiesced, QuiescedNs, SyncingNs, now),
            Span(TxgState.Syncing, SyncingNs, CommittedNs, now),
            DirtyBytes);

        private readonly long Span(TxgState phase, long from, long to, long now) =>
            State > phase ? to - from : State == phase ? now - from : 0;
    }
}
