using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>An object set read offline: its dnodes, and the blocks of its objects by number.</summary>
public sealed class OfflineObjset
{
    private readonly PoolReader _pool;
    private readonly ObjsetPhys _phys;

    internal OfflineObjset(PoolReader pool, in Blkptr bp, string name)
    {
        _pool = pool;
        Name = name;
        Bp = bp;
        if (bp.LogicalSize is not (ObjsetPhys.SizeOf or ObjsetPhys.OldSizeOf) || bp.Type != DmuOt.Objset || bp.Level != 0)
        {
            throw new ZfsException(Errno.EIO, $"{name}: the root block is not an object set: {bp}");
        }

        var bytes = new byte[ObjsetPhys.SizeOf];
        pool.ReadBlock(bp, bytes);
        _phys = MemoryMarshal.Read<ObjsetPhys>(bytes);
        MetaDnode = new OfflineDnode(0, bytes);
        UserUsed = new OfflineDnode(0, bytes.AsSpan(1024));
        GroupUsed = new OfflineDnode(0, bytes.AsSpan(1536));
        if (MetaDnode.Phys.Type != DmuOt.Dnode || MetaDnode.Phys.DataBlockSize % DnodePhys.SizeOf != 0)
        {
            throw new ZfsException(Errno.EIO, $"{name}: the dnode of dnodes has type {MetaDnode.Phys.Type}");
        }
    }

    /// <summary>Name of the dataset, for messages.</summary>
    public string Name { get; }

    /// <summary>The block that holds it.</summary>
    public Blkptr Bp { get; }

    /// <summary>The fields.</summary>
    public ref readonly ObjsetPhys Phys => ref _phys;

    /// <summary>The dnode whose data are the dnodes.</summary>
    public OfflineDnode MetaDnode { get; }

    /// <summary>Accounts of users; free if there are none.</summary>
    public OfflineDnode UserUsed { get; }

    /// <summary>Accounts of groups; free if there are none.</summary>
    public OfflineDnode GroupUsed { get; }

    /// <summary>Reads an object's dnode. Throws ZfsException: ENOENT if it is free, EIO.</summary>
    public OfflineDnode ReadDnode(ulong obj) =>
        TryReadDnode(obj) ?? throw new ZfsException(Errno.ENOENT, $"{Name}: object {obj} is free");

    /// <summary>Reads an object's dnode; null if it is free.</summary>
    public OfflineDnode? TryReadDnode(ulong obj)
    {
        ulong perBlock = (ulong)(MetaDnode.Phys.DataBlockSize / DnodePhys.SizeOf);
        ulong block = obj / perBlock;
        if (obj == 0 || block > MetaDnode.Phys.MaxBlockId)
        {
            return null;
        }

        Blkptr bp = BlockPointer(MetaDnode, 0, block);
        if (bp.IsHole)
        {
            return null;
        }

        byte[] dnodes = _pool.ReadMetadata(bp);
        var dn = new OfflineDnode(obj, dnodes.AsSpan((int)(obj % perBlock) * DnodePhys.SizeOf));
        return dn.IsFree ? null : dn;
    }

    /// <summary>The pointer to a block of an object; a hole where nothing is. Throws ZfsException (EIO).</summary>
    public Blkptr BlockPointer(OfflineDnode dn, int level, ulong block)
    {
        int top = dn.Phys.Levels - 1;
        if (level > top)
        {
            throw new ZfsException(Errno.EIO, $"{Name}: object {dn.Object} has no level {level}");
        }

        ulong index = ShiftRight(block, dn.IdShift * (top - level));
        if (index >= dn.Phys.BlkptrCount)
        {
            return default;
        }

        Blkptr bp = dn.Root((int)index);
        for (int at = top; ; at--)
        {
            if (bp.IsHole)
            {
                return default;
            }

            int size = at > 0 ? 1 << dn.Phys.IndirectShift : dn.Phys.DataBlockSize;
            if (bp.Level != at || bp.LogicalSize != size)
            {
                throw new ZfsException(Errno.EIO, $"{Name}: object {dn.Object} block {block} level {at}: a pointer of level {bp.Level}, {bp.LogicalSize} bytes");
            }

            if (at == level)
            {
                return bp;
            }

            byte[] pointers = _pool.ReadMetadata(bp);
            ulong entry = ShiftRight(block, dn.IdShift * (at - 1 - level)) & ((1UL << dn.IdShift) - 1);
            bp = MemoryMarshal.Read<Blkptr>(pointers.AsSpan((int)entry * Blkptr.SizeOf));
        }
    }

    /// <summary>Reads a data block into <paramref name="dst"/> (the object's block size); a hole is zeros.</summary>
    public void ReadDataBlock(OfflineDnode dn, ulong block, Span<byte> dst)
    {
        Blkptr bp = block <= dn.Phys.MaxBlockId ? BlockPointer(dn, 0, block) : default;
        if (bp.IsHole)
        {
            dst[..dn.Phys.DataBlockSize].Clear();
        }
        else
        {
            _pool.ReadBlock(bp, dst);
        }
    }

    /// <summary>Reads bytes of an object; holes and what lies past the end are zeros.</summary>
    public void Read(OfflineDnode dn, ulong offset, Span<byte> dst)
    {
        int size = dn.Phys.DataBlockSize;
        var block = new byte[size];
        while (!dst.IsEmpty)
        {
            ReadDataBlock(dn, offset / (uint)size, block);
            int at = (int)(offset % (uint)size);
            int n = Math.Min(dst.Length, size - at);
            block.AsSpan(at, n).CopyTo(dst);
            dst = dst[n..];
            offset += (uint)n;
        }
    }

    /// <summary>Reads one little-endian number of an object.</summary>
    public ulong ReadUInt64(OfflineDnode dn, ulong offset)
    {
        Span<byte> eight = stackalloc byte[8];
        Read(dn, offset, eight);
        return BinaryPrimitives.ReadUInt64LittleEndian(eight);
    }

    private static ulong ShiftRight(ulong value, int by) => by >= 64 ? 0 : value >> by;
}
