namespace ZfsLite.Txn;

/// <summary>What the transaction layer asks of its owner (the pool).</summary>
public interface ITxgHost
{
    /// <summary>Writes out transaction group <paramref name="txg"/>. Called by the sync thread alone, one txg at a time, in order. When it
    /// returns, the txg is on stable storage. A failure to write suspends the pool and returns normally.</summary>
    void SyncTxg(ulong txg);

    /// <summary>Is there room for a transaction's worst case?</summary>
    /// <param name="first">The first object that it changes, which tells whose space it takes; null: nobody's.</param>
    /// <param name="bytes">Worst-case bytes of new space.</param>
    /// <param name="netFree">The transaction frees more than it takes: it may use the slop reserve, and go past quotas.</param>
    /// <param name="promised">Bytes that others find taken until <see cref="ReleaseSpace"/> is called with them; 0: it need not be.</param>
    /// <returns>0, ENOSPC, EDQUOT, EIO (suspended), or ERESTART when space is on its way back.</returns>
    int CheckSpace(TxHoldable? first, long bytes, bool netFree, out long promised);

    /// <summary>The transaction is over, or was not assigned after all: what it has dirtied counts by itself now.</summary>
    void ReleaseSpace(TxHoldable first, long promised);
}
