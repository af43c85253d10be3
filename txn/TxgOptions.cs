namespace ZfsLite.Txn;

/// <summary>Tunables of the transaction layer.</summary>
public sealed class TxgOptions
{
    /// <summary>The dirty limit in bytes; writers are delayed from 60 % of it and wait at 100 %.</summary>
    public long DirtyMaxBytes { get; init; }

    /// <summary>zfs_txg_timeout: longest life of an open txg with dirty data, nanoseconds. 5 s.</summary>
    public long TimeoutNs { get; init; } = 5_000_000_000;

    /// <summary>The open txg at the start: last synced + 1.</summary>
    public ulong FirstTxg { get; init; } = 4;
}
