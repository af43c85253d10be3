using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>Reads lists of block pointers and checks their counters.</summary>
internal static class BplistCheck
{
    /// <summary>Sums of a list; calls <paramref name="each"/> for every entry. Null, reported, if it can't be read.</summary>
    internal static BlockSums? Read(CheckContext ctx, string dataset, ulong obj, string what, Action<Blkptr>? each = null)
    {
        try
        {
            OfflineDnode dn = ctx.Pool.Mos.ReadDnode(obj);
            BplistPhys phys = dn.BonusAs<BplistPhys>(DmuOt.BplistHdr);
            ulong perBlock = (ulong)(dn.Phys.DataBlockSize / Blkptr.SizeOf);
            if (phys.Entries > (dn.Phys.MaxBlockId + 1) * perBlock)
            {
                ctx.Error(dataset, obj, $"{what} says it has {phys.Entries} entries, in {dn.Phys.MaxBlockId + 1} blocks of {perBlock}");
                return null;
            }

            var sums = default(BlockSums);
            var block = new byte[dn.Phys.DataBlockSize];
            for (ulong i = 0; i < phys.Entries; i++)
            {
                if (i % perBlock == 0)
                {
                    ctx.Pool.Mos.ReadDataBlock(dn, i / perBlock, block);
                }

                Blkptr bp = MemoryMarshal.Read<Blkptr>(block.AsSpan((int)(i % perBlock) * Blkptr.SizeOf));
                if (bp.IsHole || bp.Birth > ctx.Pool.Uberblock.Txg)
                {
                    ctx.Error(dataset, obj, $"{what} has a hole, or a block of the future, as entry {i}");
                    return null;
                }

                sums.Add(bp);
                each?.Invoke(bp);
            }

            ctx.Compare(dataset, obj, $"bytes of the {what}", phys.Bytes, sums.Bytes);
            ctx.Compare(dataset, obj, $"compressed bytes of the {what}", phys.Compressed, sums.Compressed);
            ctx.Compare(dataset, obj, $"uncompressed bytes of the {what}", phys.Uncompressed, sums.Uncompressed);
            return sums;
        }
        catch (ZfsException e)
        {
            ctx.Error(dataset, obj, $"{what}: {e.Message}");
            return null;
        }
    }
}
