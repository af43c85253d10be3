using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>An object set of a pool that is being formatted: objects of at most one block each, at most three blocks of dnodes.</summary>
internal sealed unsafe class PoolFormatterObjset
{
    private const int DnodeBlock = 16384;
    private const int DnodesPerBlock = DnodeBlock / DnodePhys.SizeOf;
    private const int IndirectShift = 14;

    private readonly PoolFormatterSpace _space;
    private readonly ulong _type;
    private readonly int _copies;
    private readonly int _levels;
    private readonly SortedDictionary<ulong, (DnodePhys Dnode, byte[] Bonus, PoolFormatterBlock? Block)> _objects = [];
    private readonly List<PoolFormatterBlock> _meta = [];

    /// <summary>Makes an empty one.</summary>
    /// <param name="space">Where its blocks go.</param>
    /// <param name="type">Kind (<see cref="ObjsetPhys.TypeMeta"/>…).</param>
    /// <param name="copies">Copies of each block.</param>
    /// <param name="levels">Levels of the dnode array: file systems have 7 from the start.</param>
    internal PoolFormatterObjset(PoolFormatterSpace space, ulong type, int copies, int levels)
    {
        _space = space;
        _type = type;
        _copies = copies;
        _levels = levels;
    }

    /// <summary>Space of all blocks, once they have their places.</summary>
    internal ulong Asize { get; private set; }

    /// <summary>Stored bytes of one copy.</summary>
    internal ulong Psize { get; private set; }

    /// <summary>Adds an object, with one block of data or none.</summary>
    internal void Add(ulong number, DmuOt type, int blockSize, byte[]? data, DmuOt bonusType = DmuOt.None, byte[]? bonus = null,
        ZioCompressType compress = ZioCompressType.Inherit)
    {
        bonus ??= [];
        PoolFormatterBlock? block = null;
        if (data is not null)
        {
            Array.Resize(ref data, blockSize);
            block = Place(type, 0, data);
        }

        var dn = new DnodePhys
        {
            Type = type,
            IndirectShift = IndirectShift,
            Levels = 1,
            BlkptrCount = (byte)DnodePhys.BlkptrCountFor(bonus.Length),
            BonusType = bonusType,
            Compress = compress,
            DataBlockSectors = (ushort)(blockSize >> 9),
            BonusLength = (ushort)bonus.Length,
            Flags = block is null ? (byte)0 : DnodePhys.FlagUsedBytes,
            Used = block?.Asize ?? 0,
        };
        _objects.Add(number, (dn, bonus, block));
    }

    /// <summary>The data of an object, to be completed before Write.</summary>
    internal byte[] DataOf(ulong number) => _objects[number].Block!.Data;

    /// <summary>The bonus of an object, to be completed before Write.</summary>
    internal byte[] BonusOf(ulong number) => _objects[number].Bonus;

    /// <summary>Gives places to the dnode blocks, their indirect blocks and the object set itself; no object may be added afterwards.</summary>
    internal void PlaceMeta()
    {
        int blocks = ((int)_objects.Keys.Max() / DnodesPerBlock) + 1;
        if (blocks > 3 || (_levels > 1 && blocks > 1))
        {
            throw new InvalidOperationException($"{_objects.Count} objects do not fit");
        }

        for (int i = 0; i < blocks; i++)
        {
            _meta.Add(Place(DmuOt.Dnode, 0, new byte[DnodeBlock]));
        }

        for (int level = 1; level < _levels; level++)
        {
            _meta.Add(Place(DmuOt.Dnode, level, new byte[1 << IndirectShift]));
        }

        _meta.Add(Place(DmuOt.Objset, 0, new byte[ObjsetPhys.SizeOf]));
    }

    /// <summary>Writes everything, leaves first, and gives the block pointer of the object set.</summary>
    internal Blkptr Write(IReadOnlyList<Vdev> vdevs, ulong txg)
    {
        int dnodeBlocks = _meta.Count - _levels;
        ulong[] fills = new ulong[dnodeBlocks];
        foreach ((ulong number, (DnodePhys dnode, byte[] bonus, PoolFormatterBlock? block)) in _objects)
        {
            DnodePhys dn = dnode;
            if (block is not null)
            {
                dn.Blkptr0 = block.Write(vdevs, txg, 1);
            }

            bonus.CopyTo(new Span<byte>(DnodePhys.BonusOf(&dn), bonus.Length));
            int index = (int)number / DnodesPerBlock;
            MemoryMarshal.Write(_meta[index].Data.AsSpan((int)number % DnodesPerBlock * DnodePhys.SizeOf), dn);
            fills[index]++;
        }

        var meta = new DnodePhys
        {
            Type = DmuOt.Dnode,
            IndirectShift = IndirectShift,
            Levels = (byte)_levels,
            BlkptrCount = 3,
            DataBlockSectors = DnodeBlock >> 9,
            Flags = DnodePhys.FlagUsedBytes,
            MaxBlockId = (ulong)dnodeBlocks - 1,
            Used = _meta.Take(_meta.Count - 1).Aggregate(0UL, static (sum, b) => sum + b.Asize),
        };
        for (int i = 0; i < dnodeBlocks; i++)
        {
            *DnodePhys.BlkptrAt(&meta, i) = _meta[i].Write(vdevs, txg, fills[i]);
        }

        for (int level = 1; level < _levels; level++)
        {
            PoolFormatterBlock indirect = _meta[dnodeBlocks + level - 1];
            MemoryMarshal.Write(indirect.Data, meta.Blkptr0);
            meta.Blkptr0 = indirect.Write(vdevs, txg, fills[0]);
        }

        var objset = new ObjsetPhys { MetaDnode = meta, Type = _type };
        MemoryMarshal.Write(_meta[^1].Data, objset);
        return _meta[^1].Write(vdevs, txg, (ulong)_objects.Count);
    }

    private PoolFormatterBlock Place(DmuOt type, int level, byte[] data)
    {
        var block = new PoolFormatterBlock(type, level, data, _space.Allocate(data.Length, _copies));
        Asize += block.Asize;
        Psize += (ulong)data.Length;
        return block;
    }
}
