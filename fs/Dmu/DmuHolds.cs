using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>What a transaction is about to do, before Assign: worst-case space, and the dnodes it changes (dmu_tx_hold_*).</summary>
public static class DmuHolds
{
    /// <summary>Will write a range.</summary>
    public static void HoldWrite(this DmuTx tx, Dnode dn, ulong offset, long length) => throw new NotSupportedException();

    /// <summary>Will free a range.</summary>
    public static void HoldFree(this DmuTx tx, Dnode dn, ulong offset, ulong length) => throw new NotSupportedException();

    /// <summary>Will add to (or remove from) a ZAP.</summary>
    public static void HoldZap(this DmuTx tx, Dnode dn, bool add) => throw new NotSupportedException();

    /// <summary>Will change the bonus.</summary>
    public static void HoldBonus(this DmuTx tx, Dnode dn) => throw new NotSupportedException();

    /// <summary>Will allocate an object (and, with <paramref name="bytes"/>, write its first blocks).</summary>
    public static void HoldNewObject(this DmuTx tx, Objset os, long bytes = 0) => throw new NotSupportedException();
}
