namespace ZfsLite.Txn;

/// <summary>What is remembered of one txg (the <c>txgs</c> table).</summary>
/// <param name="Txg">Its number.</param>
/// <param name="State">Where it is.</param>
/// <param name="BirthNs">When it opened, <see cref="Kmem.Spl.Kclock.NowNs"/>.</param>
/// <param name="OpenNs">How long it was open; so far, if it still is.</param>
/// <param name="QuiesceNs">How long its last holders took.</param>
/// <param name="WaitNs">How long it then waited for the sync thread.</param>
/// <param name="SyncNs">How long writing it took.</param>
/// <param name="DirtyBytes">Dirty bytes charged to it over its whole life.</param>
public readonly record struct TxgRecord(
    ulong Txg,
    TxgState State,
    long BirthNs,
    long OpenNs,
    long QuiesceNs,
    long WaitNs,
    long SyncNs,
    long DirtyBytes);
