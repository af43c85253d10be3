using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>
/// What the transaction layer keeps per thread (Kthread.TxState): the transactions assigned to it, a free list of
/// transaction objects, and the mark of policy txcookie. Only the thread itself writes; the wait-for graph reads a racy
/// snapshot. A transaction is created, assigned, and committed or aborted by one thread.
/// </summary>
internal sealed class TxThreadState
{
    /// <summary>Bound of transactions that one thread may hold at once: one, plus what reclaim nests under policy none.</summary>
    private const int MaxAssigned = 16;

    private readonly Kthread _thread;
    private readonly DmuTx?[] _assigned = new DmuTx?[MaxAssigned];
    private int _assignedCount;
    private DmuTx? _free;
    private int _cookies;
    private FstransRawCookie _cookie;

    private TxThreadState(Kthread thread) => _thread = thread;

    internal Kthread Thread => _thread;

    /// <summary>How many assigned transactions the thread holds.</summary>
    internal int AssignedCount => _assignedCount;

    /// <summary>The state of the calling thread.</summary>
    internal static TxThreadState Current
    {
        get
        {
            Kthread self = Kthread.Current;
            if (self.TxState is TxThreadState state)
            {
                return state;
            }

            state = new TxThreadState(self);
            self.TxState = state;
            return state;
        }
    }

    /// <summary>Adds every thread that has a transaction of the engine assigned to a txg up to <paramref name="maxTxg"/>.</summary>
    internal static void CollectHolders(TxgEngine engine, long maxTxg, ICollection<Kthread> owners)
    {
        foreach (Kthread t in Kthread.All())
        {
            if (t.TxState is TxThreadState s && s.AnyAssigned(engine, maxTxg))
            {
                owners.Add(t);
            }
        }
    }

    /// <summary>Adds every thread whose transactions of a txg hold an object.</summary>
    internal static void CollectHoldersOf(TxHoldable target, ulong txg, ICollection<Kthread> owners)
    {
        foreach (Kthread t in Kthread.All())
        {
            if (t.TxState is not TxThreadState s)
            {
                continue;
            }

            foreach (DmuTx? tx in s._assigned)
            {
                if (tx is not null && tx.Txg == txg && tx.IsHolding(target))
                {
                    owners.Add(t);
                    break;
                }
            }
        }
    }

    /// <summary>The txgs a thread holds, in the order of assignment: a racy snapshot for reports.</summary>
    internal static List<ulong> HeldTxgs(Kthread thread)
    {
        var list = new List<ulong>();
        if (thread.TxState is TxThreadState s)
        {
            foreach (DmuTx? tx in s._assigned)
            {
                if (tx is not null && tx.Txg != 0)
                {
                    list.Add(tx.Txg);
                }
            }
        }

        return list;
    }

    /// <summary>True if the thread holds a transaction of this engine.</summary>
    internal bool HasAssigned(TxgEngine engine) => AnyAssigned(engine, long.MaxValue);

    internal void Push(DmuTx tx)
    {
        if (_assignedCount == MaxAssigned)
        {
            throw new InvalidOperationException($"thread {_thread} holds more than {MaxAssigned} transactions");
        }

        _assigned[_assignedCount++] = tx;
    }

    internal void Pop(DmuTx tx)
    {
        for (int i = _assignedCount - 1; i >= 0; i--)
        {
            if (ReferenceEquals(_assigned[i], tx))
            {
                _assignedCount--;
                for (int j = i; j < _assignedCount; j++)
                {
                    _assigned[j] = _assigned[j + 1];
                }

                _assigned[_assignedCount] = null;
                return;
            }
        }

        throw new InvalidOperationException($"thread {_thread} ends a transaction that it does not hold");
    }

    internal DmuTx Take()
    {
        DmuTx? tx = _free;
        if (tx is null)
        {
            return new DmuTx(this);
        }

        _free = tx.NextFree;
        tx.NextFree = null;
        return tx;
    }

    internal void Give(DmuTx tx)
    {
        tx.NextFree = _free;
        _free = tx;
    }

    /// <summary>
    /// Policy txcookie: the thread is marked while any of its transactions is. The first mark saves the thread's own bit and
    /// the last one to go unmarks, so the order in which transactions end does not matter.
    /// </summary>
#pragma warning disable RS0030 // The one place where the raw cookie belongs.
    internal void MarkCookie()
    {
        if (_cookies++ == 0)
        {
            _cookie.Mark();
        }
    }

    internal void UnmarkCookie()
    {
        if (_cookies < 1)
        {
            throw new InvalidOperationException($"thread {_thread} unmarks a transaction but has none marked");
        }

        if (--_cookies == 0)
        {
            _cookie.Unmark();
        }
#pragma warning restore RS0030
    }

    private bool AnyAssigned(TxgEngine engine, long maxTxg)
    {
        foreach (DmuTx? tx in _assigned)
        {
            if (tx is not null && tx.Txg != 0 && (long)tx.Txg <= maxTxg && ReferenceEquals(tx.Engine, engine))
            {
                return true;
            }
        }

        return false;
    }
}
