namespace ZfsLite.Txn;

/// <summary>A DMU transaction: Create, Hold…, Assign, change, Commit; or Abort if it was not assigned.</summary>
public sealed class DmuTx
{
    private DmuTx()
    {
    }

    /// <summary>The transaction group it was assigned to; 0 before.</summary>
    public ulong Txg { get; private set; }

    /// <summary>True for the transaction under which the sync thread itself changes the MOS.</summary>
    public bool IsSyncing { get; private set; }

    /// <summary>Makes a transaction. Objects are pooled: after Commit or Abort the reference is dead.</summary>
    public static DmuTx Create(TxgEngine engine) => throw new NotSupportedException();

    /// <summary>The sync thread's transaction of the syncing txg. Never assigned, committed or aborted.</summary>
    public static DmuTx CreateSyncing(TxgEngine engine, ulong txg) => new() { Txg = txg, IsSyncing = true };

    /// <summary>Adds to the worst case of new space, bytes (negative: frees).</summary>
    public void HoldSpace(long bytes) => throw new NotSupportedException();

    /// <summary>Marks the transaction as one that frees more than it takes: it may use the slop reserve.</summary>
    public void MarkNetFree() => throw new NotSupportedException();

    /// <summary>Adds a dnode that will be changed. A second hold of the same one is ignored.</summary>
    public void Hold(TxHoldable target) => throw new NotSupportedException();

    /// <summary>Assigns the transaction to the open txg. Returns 0, ERESTART (NoWait only), ENOSPC, EDQUOT or EIO.</summary>
    public int Assign(TxAssign how) => throw new NotSupportedException();

    /// <summary>After ERESTART: waits until another try makes sense. The transaction stays unassigned.</summary>
    public void Wait() => throw new NotSupportedException();

    /// <summary>Ends an assigned transaction.</summary>
    public void Commit() => throw new NotSupportedException();

    /// <summary>Drops a transaction that was not assigned.</summary>
    public void Abort() => throw new NotSupportedException();
}
