using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>Waits until a txg is open.</summary>
internal sealed class TxgOpenWait(TxgEngine engine, long txg) : IWaitable
{
    public string WaitName => $"txg {txg} to open";

    public void CollectOwners(ICollection<Kthread> owners)
    {
        if (txg <= (long)engine.OpenTxg)
        {
            return;
        }

        // It opens when the txg before it is closed to new transactions, which happens once the sync thread has taken the
        // one before that: so nobody may hold that one any more.
        engine.CollectHolders(txg - 2, owners);
        engine.AddQuiesceThread(owners);
        if ((long)engine.SyncingTxg < txg - 2)
        {
            engine.AddSyncThread(owners);
        }
    }
}

/// <summary>Waits until a txg is on stable storage.</summary>
internal sealed class TxgSyncedWait(TxgEngine engine, long txg) : IWaitable
{
    public string WaitName => $"txg {txg} to sync";

    public void CollectOwners(ICollection<Kthread> owners)
    {
        if (txg > (long)engine.SyncedTxg)
        {
            engine.CollectSyncOwners(txg, owners);
        }
    }
}

/// <summary>The quiesce thread waits for the last holders of a txg.</summary>
internal sealed class TxgHoldersWait(TxgEngine engine) : IWaitable
{
    internal long Txg;

    public string WaitName => $"the holders of txg {Txg} to commit";

    public void CollectOwners(ICollection<Kthread> owners) => engine.CollectHolders(Txg, owners);
}

/// <summary>The quiesce thread waits for work, or for the sync thread to take the quiesced txg.</summary>
internal sealed class TxgQuiesceMoreWait(TxgEngine engine) : IWaitable
{
    public string WaitName => engine.HasUntakenQuiesced ? "the sync thread to take the quiesced txg" : "a txg to quiesce (idle)";

    public bool IsIdle => !engine.HasUntakenQuiesced;

    public void CollectOwners(ICollection<Kthread> owners)
    {
        if (engine.HasUntakenQuiesced)
        {
            engine.AddSyncThread(owners);
        }
    }
}

/// <summary>The sync thread waits for the quiesce thread to hand over a txg.</summary>
internal sealed class TxgQuiesceDoneWait(TxgEngine engine) : IWaitable
{
    public string WaitName => "a txg to be quiesced";

    public void CollectOwners(ICollection<Kthread> owners)
    {
        if (!engine.HasUntakenQuiesced)
        {
            engine.AddQuiesceThread(owners);
        }
    }
}

/// <summary>A writer waits at 100 % of the dirty limit.</summary>
internal sealed class DirtySpaceWait(TxgEngine engine) : IWaitable
{
    public string WaitName => $"dirty space ({engine.DirtyBytes} of {engine.DirtyMaxBytes} bytes dirty)";

    public void CollectOwners(ICollection<Kthread> owners)
    {
        long txg = engine.LastTxgToSyncForSpace();
        if (txg != 0)
        {
            engine.CollectSyncOwners(txg, owners);
        }
    }
}
