namespace ZfsLite.Txn;

/// <summary>Tunables of the transaction layer.</summary>
public sealed class TxgOptions
{
    /// <summary>The dirty limit in bytes; writers are delayed from 60 % of it and wait at 100 %. 0: 40 % of the arena.</summary>
    public long DirtyMaxBytes { get; init; }

    /// <summary>zfs_txg_timeout: longest life of an open txg with dirty data, nanoseconds. 5 s.</summary>
    public long TimeoutNs { get; init; } = 5_000_000_000;

    /// <summary>The open txg at the start: last synced + 1.</summary>
    public ulong FirstTxg { get; init; } = 4;

    /// <summary>zfs_delay_min_dirty_percent: share of the dirty limit from which writers are delayed.</summary>
    public int DelayMinDirtyPercent { get; init; } = 60;

    /// <summary>zfs_delay_scale: how steep the delay rises, nanoseconds (the delay at the middle of the range).</summary>
    public long DelayScaleNs { get; init; } = 500_000;

    /// <summary>Longest delay of one transaction, nanoseconds.</summary>
    public long DelayMaxNs { get; init; } = 100_000_000;

    /// <summary>zfs_dirty_data_sync_percent: dirty data of the open txg that pushes it out, as a share of the dirty limit.</summary>
    public int DirtySyncPercent { get; init; } = 20;

    /// <summary>How many txgs the history remembers.</summary>
    public int HistoryLength { get; init; } = 100;
}
