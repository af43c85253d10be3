using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>A list of block pointers in the MOS (bplist): the deadlist of a dataset. Entries have no fill and no checksum.</summary>
internal static unsafe class Bplist
{
    /// <summary>Adds a block at the end, in the sync thread.</summary>
    internal static void Append(Objset mos, ulong obj, in Blkptr bp, DmuTx tx)
    {
        Dnode dn = mos.HoldObject(obj);
        try
        {
            Blkptr entry = bp;
            entry.Fill = 0;
            if (!bp.IsDedup)
            {
                entry.Checksum = default;
            }

            dn.DirtyBonus(tx);
            var header = (BplistPhys*)dn.Bonus;
            dn.Write(header->Entries * Blkptr.SizeOf, Blkptr.SizeOf, (byte*)&entry, tx);
            header->Entries++;
            header->Bytes += bp.Asize;
            header->Compressed += (ulong)bp.PhysicalSize;
            header->Uncompressed += (ulong)bp.UncompressedSize;
        }
        finally
        {
            dn.Release();
        }
    }
}
