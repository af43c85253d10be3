using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>
/// What a transaction holds so that two open generations never change it out of order: a dnode. While a transaction of txg N
/// holds it, a transaction of N+1 is not assigned (ERESTART), so every change of N is made before any change of N+1. The
/// object lives longer than every transaction that holds it: its owner sees to that.
/// </summary>
public abstract class TxHoldable : IWaitable
{
    // Guards the two fields below. Nothing is taken under it; it is taken under tc_open_lock.
    private readonly Kmutex _lock = new("dn_mtx");
    private readonly Kcondvar _noTxHolds = new("dn_notxholds");
    private long _assignedTxg;
    private int _holdCount;

    /// <summary>Name for the wait-for graph.</summary>
    public abstract string HoldName { get; }

    /// <summary>The txg whose transactions hold it, 0 if none.</summary>
    public ulong AssignedTxg => (ulong)Katomic.Load(ref _assignedTxg);

    /// <summary>How many assigned transactions hold it.</summary>
    public int TxHoldCount => Katomic.Load(ref _holdCount);

    /// <inheritdoc/>
    string IWaitable.WaitName => $"{HoldName} (held by txg {AssignedTxg})";

    /// <inheritdoc/>
    void IWaitable.CollectOwners(ICollection<Kthread> owners)
    {
        ulong txg = AssignedTxg;
        if (txg != 0)
        {
            TxThreadState.CollectHoldersOf(this, txg, owners);
        }
    }

    /// <summary>Joins txg <paramref name="txg"/>, unless transactions of the one before still hold the object.</summary>
    internal bool TryJoin(long txg)
    {
        _lock.Enter();
        long assigned = _assignedTxg;
        if (assigned != 0 && assigned == txg - 1)
        {
            _lock.Exit();
            return false;
        }

        if (assigned != 0 && assigned != txg)
        {
            _lock.Exit();
            throw new InvalidOperationException($"{HoldName} is held in txg {assigned} while txg {txg} is open");
        }

        _assignedTxg = txg;
        _holdCount++;
        _lock.Exit();
        return true;
    }

    /// <summary>Gives up one hold.</summary>
    internal void Leave(long txg)
    {
        _lock.Enter();
        if (_assignedTxg != txg || _holdCount < 1)
        {
            _lock.Exit();
            throw new InvalidOperationException($"{HoldName} released in txg {txg}, held {_holdCount} times in txg {_assignedTxg}");
        }

        if (--_holdCount == 0)
        {
            _assignedTxg = 0;
            _noTxHolds.Broadcast();
        }

        _lock.Exit();
    }

    /// <summary>Waits until txg <paramref name="txg"/> no longer holds the object.</summary>
    internal void WaitReleased(long txg)
    {
        _lock.Enter();
        while (_assignedTxg == txg)
        {
            _noTxHolds.Wait(_lock, this);
        }

        _lock.Exit();
    }
}
