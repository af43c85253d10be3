namespace ZfsLite.Txn;

/// <summary>
/// What a transaction holds so that two open generations never change it out of order: a dnode. While a transaction of txg N
/// holds it, a transaction of N+1 is not assigned (ERESTART), so every change of N is made before any change of N+1.
/// </summary>
public abstract class TxHoldable
{
    /// <summary>Name for the wait-for graph.</summary>
    public abstract string HoldName { get; }
}
