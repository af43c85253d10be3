using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>A metaslab of a vdev with its space map object. Guarded by the allocator's mutex; the methods that go to the DMU run
/// without it, while <see cref="Busy"/> keeps everybody else out.</summary>
internal sealed unsafe class Metaslab
{
    private const int BlockSize = 4096;

    // A map is written afresh when it is this many times as long as a list of its allocated runs.
    private const ulong CondenseFactor = 16;

    private readonly RangeMemory _memory;
    private ulong _condenseChecked;

    internal Metaslab(MetaslabGroup group, int index, RangeMemory memory, ulong obj, ulong size, long allocated)
    {
        Group = group;
        Index = index;
        Object = obj;
        MapSize = size;
        _memory = memory;
        Core = new MetaslabCore(memory, group.UnitsPerMetaslab, allocated);
    }

    internal MetaslabGroup Group { get; }

    /// <summary>Number within the vdev.</summary>
    internal int Index { get; }

    /// <summary>Units, lists and counters.</summary>
    internal MetaslabCore Core { get; }

    /// <summary>Object number of the space map in the MOS; 0 while nothing was ever allocated here.</summary>
    internal ulong Object { get; private set; }

    /// <summary>Valid bytes of the space map.</summary>
    internal ulong MapSize { get; private set; }

    /// <summary>The space map is being read or written.</summary>
    internal bool Busy { get; set; }

    /// <summary>Runs here that are taken and not committed yet: the bitmap must stay.</summary>
    internal int Pins { get; set; }

    /// <summary>Why nothing can be allocated here; null if all is well.</summary>
    internal string? Damage { get; set; }

    /// <summary>One bit for each of four txgs: in the allocator's dirty list of it.</summary>
    internal int DirtySlots { get; set; }

    /// <summary>When it was last allocated from, in allocations.</summary>
    internal long LastUse { get; set; }

    /// <summary>First byte, as a DVA counts.</summary>
    internal ulong Base => (ulong)Index << Group.Vdev.MetaslabShift;

    /// <summary>Replays the space map into an empty bitmap. Throws ZfsException.</summary>
    internal void ReadMap(Objset? mos, MetaslabBitmap map)
    {
        if (Object == 0)
        {
            return;
        }

        byte* buffer = stackalloc byte[BlockSize];
        Dnode dn = (mos ?? throw new InvalidOperationException("the allocator is not open")).HoldObject(Object);
        try
        {
            for (ulong at = 0; at < MapSize;)
            {
                int n = (int)Math.Min(BlockSize, MapSize - at);
                dn.Read(at, n, buffer);
                SpaceMapReplay.Apply(new ReadOnlySpan<ulong>(buffer, n / sizeof(ulong)), map);
                at += (ulong)n;
            }
        }
        finally
        {
            dn.Release();
        }
    }

    /// <summary>Appends what was taken out of the core to the space map, which is created if need be.</summary>
    /// <returns>True if the metaslab array has to learn of a new object.</returns>
    internal bool WriteMap(Objset mos, RangeList? allocs, RangeList? frees, DmuTx tx)
    {
        Dnode dn = OpenForWrite(mos, tx, out bool created);
        try
        {
            var writer = new SpaceMapWriter(dn, MapSize, tx, _memory.Block);
            allocs?.Emit(free: false, writer);
            frees?.Emit(free: true, writer);
            writer.Flush();
            MapSize = writer.End;
            long change = (allocs?.Count ?? 0) - (frees?.Count ?? 0);
            WriteHeader(dn, Core.MapAllocated + change, tx);
        }
        finally
        {
            dn.Release();
        }

        return created;
    }

    /// <summary>True if the map is longer than a block and has reached another block since the last call: time to see whether it
    /// should be condensed.</summary>
    internal bool HasGrownByABlock()
    {
        ulong block = MapSize / BlockSize;
        bool grown = block > 0 && block != _condenseChecked;
        _condenseChecked = block;
        return grown;
    }

    /// <summary>Is the map so much longer than need be that it should be written afresh? Only of a loaded metaslab.</summary>
    internal bool ShouldCondense(MetaslabBitmap map) =>
        MapSize > BlockSize && MapSize >= CondenseFactor * sizeof(ulong) * (ulong)Math.Max(1, map.CountSetRuns());

    /// <summary>Writes the map afresh as a list of allocated runs.</summary>
    internal void RewriteMap(Objset mos, MetaslabBitmap map, DmuTx tx)
    {
        Dnode dn = OpenForWrite(mos, tx, out _);
        try
        {
            ulong oldSize = MapSize;
            var writer = new SpaceMapWriter(dn, 0, tx, _memory.Block);
            for (long at = map.NextSet(0, map.Units); at < map.Units;)
            {
                long end = map.NextClear(at, map.Units);
                RangeList.EmitRun(free: false, at, end - at, writer);
                at = map.NextSet(end, map.Units);
            }

            writer.Flush();
            MapSize = writer.End;
            ulong keep = (MapSize + (BlockSize - 1)) & ~(ulong)(BlockSize - 1);
            if (keep < oldSize)
            {
                dn.FreeRange(keep, ulong.MaxValue, tx);
            }

            WriteHeader(dn, Core.MapAllocated, tx);
        }
        finally
        {
            dn.Release();
        }
    }

    /// <summary>Reads object, size and allocated bytes from the bonus of a space map object. Throws ZfsException if they can't be
    /// right for a metaslab of <paramref name="bytes"/>.</summary>
    internal static (ulong Size, ulong Allocated) ReadHeader(Dnode dn, ulong bytes, int ashift)
    {
        if (dn.Type != DmuOt.SpaceMap || dn.BonusLength < SpaceMapPhys.SizeOf)
        {
            throw new ZfsException(Errno.ECKSUM, $"MOS object {dn.Object} is {dn.Type}, not a space map");
        }

        var header = (SpaceMapPhys*)dn.Bonus;
        (ulong size, ulong allocated) = (header->ObjSize, header->Alloc);
        if (size % sizeof(ulong) != 0 || (size > 0 && (size - 1) / (uint)dn.BlockSize > dn.MaxBlockId)
            || allocated > bytes || (allocated & ((1UL << ashift) - 1)) != 0)
        {
            throw new ZfsException(Errno.ECKSUM, $"space map {dn.Object}: {size} bytes of records, {allocated} of {bytes} bytes allocated");
        }

        return (size, allocated);
    }

    private Dnode OpenForWrite(Objset mos, DmuTx tx, out bool created)
    {
        created = Object == 0;
        if (!created)
        {
            return mos.HoldObject(Object);
        }

        Dnode dn = mos.AllocateObject(DmuOt.SpaceMap, BlockSize, DmuOt.SpaceMapHeader, SpaceMapPhys.SizeOf, tx);
        Object = dn.Object;
        return dn;
    }

    private void WriteHeader(Dnode dn, long allocatedUnits, DmuTx tx)
    {
        dn.DirtyBonus(tx);
        *(SpaceMapPhys*)dn.Bonus = new SpaceMapPhys
        {
            Object = Object,
            ObjSize = MapSize,
            Alloc = (ulong)allocatedUnits << Group.Vdev.Ashift,
        };
    }
}
