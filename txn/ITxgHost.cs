namespace ZfsLite.Txn;

/// <summary>What the transaction layer asks of its owner (the pool).</summary>
public interface ITxgHost
{
    /// <summary>Writes out transaction group <paramref name="txg"/>. Called by the sync thread alone, one txg at a time, in order. When it
    /// returns, the txg is on stable storage. A failure to write suspends the pool and returns normally.</summary>
    void SyncTxg(ulong txg);

    /// <summary>Is there room for a transaction's worst case?</summary>
    /// <param name="bytes">Worst-case bytes of new space.</param>
    /// <param name="netFree">The transaction frees more than it takes: it may use the slop reserve.</param>
    /// <returns>0, ENOSPC, EDQUOT, EIO (suspended), or ERESTART when space is on its way back.</returns>
    int CheckSpace(long bytes, bool netFree);
}
