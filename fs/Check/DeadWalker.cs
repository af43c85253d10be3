using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>
/// Finds what the previous snapshot has and a dataset has not any more: what the dataset's deadlist must list. A block that
/// both have stands, in a copy-on-write tree, for all that hangs below it, so the walk leaves out what did not change.
/// </summary>
internal sealed class DeadWalker
{
    private readonly PoolReader _pool;
    private readonly SpaceBitmap _kept;
    private readonly ulong _bornAfter;
    private long _budget;

    /// <summary>Makes one. <paramref name="kept"/>: where the dataset's blocks begin.</summary>
    internal DeadWalker(PoolReader pool, SpaceBitmap kept, ulong bornAfter)
    {
        _pool = pool;
        _kept = kept;
        _bornAfter = bornAfter;
        _budget = pool.BlockBudget;
    }

    /// <summary>All dead blocks.</summary>
    internal BlockSums Dead;

    /// <summary>Bytes of those born after a txg: what the snapshot alone holds.</summary>
    internal ulong UniqueBytes;

    /// <summary>Walks the snapshot's set. Throws ZfsException on what can't be read.</summary>
    internal void Walk(in Blkptr bp)
    {
        if (bp.IsHole || !IsDead(bp))
        {
            return;
        }

        var bytes = new byte[ObjsetPhys.SizeOf];
        _pool.ReadBlock(bp, bytes);
        WalkObject(bytes, isMeta: true);
        WalkObject(bytes.AsSpan(1024), isMeta: false);
        WalkObject(bytes.AsSpan(1536), isMeta: false);
    }

    private bool IsDead(in Blkptr bp)
    {
        if (--_budget < 0 || !_kept.Covers(bp.Dva0.Vdev, bp.Dva0.Offset, 0))
        {
            throw new ZfsException(Errno.EIO, _budget < 0 ? "more blocks than the pool has room for" : $"a block that is nowhere: {bp}");
        }

        if (_kept.ContainsUnit(bp.Dva0.Vdev, bp.Dva0.Offset))
        {
            return false;
        }

        Dead.Add(bp);
        UniqueBytes += bp.Birth > _bornAfter ? bp.Asize : 0;
        return true;
    }

    private void WalkObject(ReadOnlySpan<byte> raw, bool isMeta)
    {
        var dn = new OfflineDnode(0, raw[..DnodePhys.SizeOf]);
        for (int i = 0; !dn.IsFree && i < dn.Phys.BlkptrCount; i++)
        {
            WalkPointer(dn, dn.Root(i), dn.Phys.Levels - 1, isMeta);
        }
    }

    private void WalkPointer(OfflineDnode dn, in Blkptr bp, int level, bool isMeta)
    {
        if (bp.IsHole || !IsDead(bp) || (level == 0 && !isMeta))
        {
            return;
        }

        var bytes = new byte[bp.LogicalSize];
        _pool.ReadBlock(bp, bytes);
        if (level > 0)
        {
            for (int at = 0; at + Blkptr.SizeOf <= bytes.Length; at += Blkptr.SizeOf)
            {
                WalkPointer(dn, MemoryMarshal.Read<Blkptr>(bytes.AsSpan(at)), level - 1, isMeta);
            }
        }
        else
        {
            for (int at = 0; at + DnodePhys.SizeOf <= bytes.Length; at += DnodePhys.SizeOf)
            {
                WalkObject(bytes.AsSpan(at), isMeta: false);
            }
        }
    }
}
