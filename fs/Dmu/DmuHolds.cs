using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// What a transaction is about to do, before Assign: worst-case space, and the dnodes it changes (dmu_tx_hold_*). Space counts every copy;
/// metadata is counted per hold as the indirect blocks above a change and the dnode's own block.
/// </summary>
public static class DmuHolds
{
    private const int DnodeBlock = 16 << 10;
    private const int IndirectBlock = 16 << 10;

    /// <summary>Will write a range.</summary>
    public static void HoldWrite(this DmuTx tx, Dnode dn, ulong offset, long length)
    {
        tx.Hold(dn);
        int copies = dn.Objset.CopiesFor(false);
        long bs = Math.Max(dn.BlockSize, 512);
        long first = (long)(offset / (ulong)bs);
        long last = (long)((offset + (ulong)Math.Max(length, 1) - 1) / (ulong)bs);
        long blocks = last - first + 1;
        long data = Math.Max(blocks * bs, length + (2L * 512)) * copies;
        long indirects = (((blocks >> Dnode.EntriesPerIndirectShift) + 1) * IndirectBlock * 2) + (IndirectBlock * 2);
        tx.HoldSpace(data + indirects + (DnodeBlock * 2));
    }

    /// <summary>Will free a range.</summary>
    public static void HoldFree(this DmuTx tx, Dnode dn, ulong offset, ulong length)
    {
        tx.Hold(dn);
        tx.MarkNetFree();
        tx.HoldSpace((DnodeBlock * 2) + (4L * IndirectBlock) + (2L * dn.BlockSize));
    }

    /// <summary>Will add to (or remove from) a ZAP.</summary>
    public static void HoldZap(this DmuTx tx, Dnode dn, bool add)
    {
        tx.Hold(dn);
        tx.HoldSpace((add ? Zap.AddWorstBytes(dn) * 2 : 2L * dn.BlockSize) + (DnodeBlock * 2));
    }

    /// <summary>Will change the bonus.</summary>
    public static void HoldBonus(this DmuTx tx, Dnode dn)
    {
        tx.Hold(dn);
        tx.HoldSpace(DnodeBlock * 2);
    }

    /// <summary>Will allocate an object (and, with <paramref name="bytes"/>, write its first blocks).</summary>
    public static void HoldNewObject(this DmuTx tx, Objset os, long bytes = 0) =>
        tx.HoldSpace((DnodeBlock * 2) + (bytes * os.CopiesFor(true)));
}
