using System.Buffers;
using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>
/// Walks every block of an object set: objects, their indirect blocks, their data. A block born after the previous snapshot
/// is met here for the first time: its space is put down as referred to and all its copies are read. An older one belongs to
/// a snapshot, where that was done; of those only what leads further down is read. On the way it checks what pointers say
/// of their blocks (level, type, size, birth, fill) and what dnodes say of their space. Every block of the set is remembered
/// in a bitmap: one met twice is an error and is not followed, so that the walk ends on any input.
/// </summary>
internal sealed class TreeWalker
{
    private readonly CheckContext _ctx;
    private readonly string _dataset;
    private readonly ulong _prevSnapTxg;
    private readonly ulong _originTxg;
    private readonly SpaceBitmap _visited;

    internal TreeWalker(CheckContext ctx, string dataset, ulong prevSnapTxg, ulong originTxg, SpaceBitmap visited)
    {
        _ctx = ctx;
        _dataset = dataset;
        _prevSnapTxg = prevSnapTxg;
        _originTxg = originTxg;
        _visited = visited;
    }

    private ulong _metaBytes;

    /// <summary>All blocks of the set.</summary>
    internal BlockSums All;

    /// <summary>Blocks born after the previous snapshot.</summary>
    internal BlockSums Born;

    /// <summary>Blocks born after the origin of the directory.</summary>
    internal BlockSums SinceOrigin;

    /// <summary>False if something was not followed, so that the sums are not to be trusted.</summary>
    internal bool IsComplete { get; private set; } = true;

    private bool Cut()
    {
        IsComplete = false;
        _ctx.IsPartial = true;
        return false;
    }

    /// <summary>Called for each object in use.</summary>
    internal Action<OfflineDnode>? OnDnode { get; init; }

    /// <summary>The set's head, once it was read.</summary>
    internal ObjsetPhys? Phys { get; private set; }

    /// <summary>Walks the whole set.</summary>
    internal void Walk(in Blkptr bp)
    {
        if (bp.IsHole)
        {
            return;
        }

        byte[] bytes = ArrayPool<byte>.Shared.Rent(ZioBuf.MaxSize);
        try
        {
            if (bp.Type != DmuOt.Objset || bp.Level != 0 || bp.LogicalSize is not (ObjsetPhys.SizeOf or ObjsetPhys.OldSizeOf))
            {
                Fail(0, $"the root block is not an object set: {bp}");
                return;
            }

            bytes.AsSpan(0, ObjsetPhys.SizeOf).Clear();
            if (!Visit(0, bp, bytes, needed: true))
            {
                return;
            }

            Phys = MemoryMarshal.Read<ObjsetPhys>(bytes);
            ulong fill = WalkSpecial(bytes.AsSpan(0), isMeta: true);
            _ = WalkSpecial(bytes.AsSpan(1024), isMeta: false);
            _ = WalkSpecial(bytes.AsSpan(1536), isMeta: false);
            if (IsComplete && bp.Fill != fill)
            {
                // zfs-fuse counts the first root pointer only, and nothing uses the number.
                Blkptr first = MemoryMarshal.Read<Blkptr>(bytes.AsSpan(DnodePhys.BlkptrOffset));
                if (bp.Fill != first.Fill)
                {
                    Fail(0, $"fill of the object set is {bp.Fill}, should be {fill}");
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private void Fail(ulong obj, string message)
    {
        _ = Cut();
        _ctx.Error(_dataset, obj, message);
    }

    /// <summary>A dnode of the object set itself. Returns the number of objects below.</summary>
    private ulong WalkSpecial(ReadOnlySpan<byte> bytes, bool isMeta)
    {
        OfflineDnode? dn = ReadDnode(0, bytes);
        if (dn is null || dn.IsFree)
        {
            if (isMeta && dn is not null)
            {
                Fail(0, "the dnode of dnodes is free");
            }

            return 0;
        }

        if (isMeta && dn.Phys.Type != DmuOt.Dnode)
        {
            Fail(0, $"the dnode of dnodes has type {dn.Phys.Type}");
            return 0;
        }

        return WalkObject(dn, isMeta);
    }

    private OfflineDnode? ReadDnode(ulong obj, ReadOnlySpan<byte> bytes)
    {
        try
        {
            return new OfflineDnode(obj, bytes[..DnodePhys.SizeOf]);
        }
        catch (ZfsException e)
        {
            Fail(obj, e.Message);
            return null;
        }
    }

    private ulong WalkObject(OfflineDnode dn, bool isMeta)
    {
        ulong before = All.Bytes, fill = 0;
        int top = dn.Phys.Levels - 1;
        for (int i = 0; i < dn.Phys.BlkptrCount; i++)
        {
            Blkptr bp = dn.Root(i);
            if (!bp.IsHole)
            {
                fill += WalkPointer(dn, bp, top, (ulong)i, isMeta, ulong.MaxValue);
            }
        }

        if (IsComplete)
        {
            // What the objects in the meta-dnode's blocks use was added to the sum in between; it is theirs.
            _ctx.Compare(_dataset, dn.Object, "space used", dn.Phys.UsedBytes, isMeta ? _metaBytes : All.Bytes - before);
        }

        return fill;
    }

    /// <summary>Walks the tree under a pointer. <paramref name="index"/>: number of the block among those of its level.</summary>
    private ulong WalkPointer(OfflineDnode dn, in Blkptr bp, int level, ulong index, bool isMeta, ulong parentBirth)
    {
        int size = level > 0 ? 1 << dn.Phys.IndirectShift : dn.Phys.DataBlockSize;
        if (bp.Level != level || bp.LogicalSize != size || bp.Type != dn.Phys.Type)
        {
            Fail(dn.Object, $"pointer to block {index} of level {level} ({dn.Phys.Type}, {size} bytes) does not fit: {bp}");
            return bp.Fill;
        }

        if (bp.Birth > _ctx.Pool.Uberblock.Txg || bp.Birth > parentBirth)
        {
            Fail(dn.Object, $"block {index} of level {level} was born after {(bp.Birth > parentBirth ? "what points at it" : "the uberblock")}: {bp}");
            return bp.Fill;
        }

        bool needed = level > 0 || isMeta;
        _metaBytes += isMeta ? bp.Asize : 0;
        byte[] bytes = ArrayPool<byte>.Shared.Rent(needed ? ZioBuf.MaxSize : 16);
        try
        {
            if (!Visit(dn.Object, bp, needed ? bytes : null, needed))
            {
                return bp.Fill;
            }

            ulong fill = level > 0 ? WalkIndirect(dn, bp, bytes, level, index, isMeta) : isMeta ? WalkDnodes(bytes, size, index) : 1;
            if (IsComplete && fill != bp.Fill)
            {
                _ctx.Error(_dataset, dn.Object, $"fill of block {index} of level {level} is {bp.Fill}, should be {fill}");
            }

            return fill;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private ulong WalkIndirect(OfflineDnode dn, in Blkptr bp, byte[] bytes, int level, ulong index, bool isMeta)
    {
        ulong fill = 0;
        int count = 1 << dn.IdShift;
        for (int i = 0; i < count; i++)
        {
            Blkptr child = MemoryMarshal.Read<Blkptr>(bytes.AsSpan(i * Blkptr.SizeOf));
            if (!child.IsHole)
            {
                fill += WalkPointer(dn, child, level - 1, (index << dn.IdShift) + (ulong)i, isMeta, bp.Birth);
            }
        }

        return fill;
    }

    private ulong WalkDnodes(byte[] bytes, int size, ulong block)
    {
        ulong used = 0;
        int count = size / DnodePhys.SizeOf;
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> raw = bytes.AsSpan(i * DnodePhys.SizeOf, DnodePhys.SizeOf);
            if (raw[0] == 0)
            {
                if (raw.ContainsAnyExcept((byte)0))
                {
                    _ctx.Warn(_dataset, (block * (ulong)count) + (ulong)i, "a free dnode is not empty");
                }

                continue;
            }

            used++;
            if (ReadDnode((block * (ulong)count) + (ulong)i, raw) is { } dn)
            {
                _ = WalkObject(dn, isMeta: false);
                OnDnode?.Invoke(dn);
            }
        }

        return used;
    }

    /// <summary>Accounts for a block, and reads it where that is needed. False: don't go further down.</summary>
    private bool Visit(ulong obj, in Blkptr bp, byte[]? dst, bool needed)
    {
        All.Add(bp);
        bool born = bp.Birth > _prevSnapTxg;
        if (born)
        {
            Born.Add(bp);
        }

        if (bp.Birth > _originTxg)
        {
            SinceOrigin.Add(bp);
        }

        ulong vdevUnit = bp.Dva0.IsGang ? 512UL : bp.Dva0.Asize;
        bool placed = _visited.Covers(bp.Dva0.Vdev, bp.Dva0.Offset, 0) && vdevUnit != 0;
        if (placed && !_visited.TryAddUnit(bp.Dva0.Vdev, bp.Dva0.Offset))
        {
            Fail(obj, $"the same block twice in one object set, referred to twice: {bp}");
            return false;
        }

        if (!placed)
        {
            if (!born || _ctx.Refer(_dataset, obj, bp))
            {
                _ctx.Error(_dataset, obj, $"the first copy is nowhere: {bp}");
            }

            return Cut();
        }

        if (born)
        {
            if (!_ctx.Refer(_dataset, obj, bp))
            {
                return Cut();
            }

            if (needed || _ctx.Options.ReadData)
            {
                bool good = _ctx.VerifyCopies(_dataset, obj, bp, dst ?? Scratch);
                return good || (needed ? Cut() : false);
            }
        }
        else if (needed)
        {
            try
            {
                _ctx.Pool.ReadBlock(bp, dst);
            }
            catch (ZfsException e)
            {
                Fail(obj, e.Message);
                return false;
            }
        }

        return true;
    }

    private byte[] Scratch { get; } = new byte[ZioBuf.MaxSize];
}
