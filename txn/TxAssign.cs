namespace ZfsLite.Txn;

/// <summary>How DmuTx.Assign behaves (TXG_*, DMU_TX_*).</summary>
[Flags]
public enum TxAssign
{
    /// <summary>Returns ERESTART rather than wait; the caller drops its locks, calls Wait, and tries again.</summary>
    NoWait = 0,

    /// <summary>Waits as long as needed.</summary>
    Wait = 1,

    /// <summary>Not held back by the write throttle (it has waited before, or frees space).</summary>
    NoThrottle = 2,
}
