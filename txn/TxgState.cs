namespace ZfsLite.Txn;

/// <summary>Where a txg is in its life.</summary>
public enum TxgState
{
    /// <summary>New transactions join it.</summary>
    Open,

    /// <summary>Closed to new transactions; the last ones that hold it are finishing.</summary>
    Quiescing,

    /// <summary>Nobody holds it; it waits for the sync thread.</summary>
    Quiesced,

    /// <summary>The sync thread writes it.</summary>
    Syncing,

    /// <summary>It is on stable storage.</summary>
    Committed,
}
