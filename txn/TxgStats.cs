namespace ZfsLite.Txn;

/// <summary>Counters of the transaction layer since the start.</summary>
/// <param name="Delays">Transactions delayed by the throttle.</param>
/// <param name="DelayedNs">Time they were delayed, nanoseconds.</param>
/// <param name="HardWaits">Transactions that waited at 100 % of the dirty limit.</param>
/// <param name="HoldRestarts">Assignments that waited for an object held by the txg before.</param>
/// <param name="SpaceRestarts">Assignments that waited for a txg to bring space back.</param>
/// <param name="ExcessUndirtyBytes">Bytes given back beyond what was charged: 0 unless the caller miscounts.</param>
public readonly record struct TxgStats(
    long Delays,
    long DelayedNs,
    long HardWaits,
    long HoldRestarts,
    long SpaceRestarts,
    long ExcessUndirtyBytes);
