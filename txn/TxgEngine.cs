namespace ZfsLite.Txn;

/// <summary>Transaction groups of one pool: open, quiescing, syncing.</summary>
public sealed class TxgEngine
{
    /// <summary>Makes the engine; Start runs it.</summary>
    public TxgEngine(ITxgHost host, TxgOptions options)
    {
        Host = host;
        Options = options;
    }

    /// <summary>The owner.</summary>
    public ITxgHost Host { get; }

    /// <summary>Tunables.</summary>
    public TxgOptions Options { get; }

    /// <summary>The open txg.</summary>
    public ulong OpenTxg => throw new NotSupportedException();

    /// <summary>The txg that the sync thread is writing, or last wrote.</summary>
    public ulong SyncingTxg => throw new NotSupportedException();

    /// <summary>The last txg on stable storage.</summary>
    public ulong SyncedTxg => throw new NotSupportedException();

    /// <summary>Bytes of dirty data over all txgs.</summary>
    public long DirtyBytes => throw new NotSupportedException();

    /// <summary>Starts the quiesce and sync threads.</summary>
    public void Start() => throw new NotSupportedException();

    /// <summary>Syncs everything and ends the threads.</summary>
    public void Stop() => throw new NotSupportedException();

    /// <summary>Waits until a txg is on stable storage; 0: all that is open now (txg_wait_synced).</summary>
    public void WaitSynced(ulong txg) => throw new NotSupportedException();

    /// <summary>Waits until a txg is open; 0: the next one (txg_wait_open).</summary>
    public void WaitOpen(ulong txg) => throw new NotSupportedException();

    /// <summary>Asks for the open txg to be pushed out soon, without waiting.</summary>
    public void Kick() => throw new NotSupportedException();

    /// <summary>Charges dirty bytes to a txg (dsl_pool_dirty_space).</summary>
    public void DirtySpace(long bytes, ulong txg) => throw new NotSupportedException();

    /// <summary>Gives them back as they are written (dsl_pool_undirty_space).</summary>
    public void UndirtySpace(long bytes, ulong txg) => throw new NotSupportedException();
}
