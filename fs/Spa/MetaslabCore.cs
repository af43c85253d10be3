using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>
/// What a metaslab knows of its units, without any disk: which are taken, which changes still have to reach the space map,
/// and which are free but not yet to be used.
///
/// A unit goes round like this. TryAllocate takes it in the bitmap and Commit puts it on the ALLOC list of its txg. The sync
/// pass turns the list into records of the space map. Free puts it on the FREE list of the txg; the next sync pass writes
/// that too, always after the ALLOCs of the same pass, and moves the unit to the list of this txg's freed units. When the txg
/// is on disk the list enters the defer ring, and comes back to the allocator two txgs later. The bitmap holds every unit
/// that must not be handed out: allocated or on its way through the ring. So it may be thrown away and built again at any
/// time, from the records of the map, the ALLOC lists, the freed units and the ring.
///
/// ALLOC and FREE of one unit inside one txg need no care: a freed unit is never handed out in the same txg, so each unit has
/// at most one ALLOC before at most one FREE.
///
/// Not thread-safe: the allocator's mutex guards it.
/// </summary>
internal sealed class MetaslabCore
{
    /// <summary>Classes of allocations that keep a place of their own in the metaslab: one for each copy of a block.</summary>
    internal const int Cursors = 3;

    private const int TxgSlots = 4;
    private const int DeferTxgs = 2;

    private readonly RangeMemory _memory;
    private readonly RangeList?[] _allocs = new RangeList?[TxgSlots];
    private readonly RangeList?[] _frees = new RangeList?[TxgSlots];
    private readonly RangeList?[] _defer = new RangeList?[DeferTxgs];
    private readonly long[] _cursor = new long[Cursors];
    private RangeList? _freed;
    private int _deferNext;
    private MetaslabBitmap? _bitmap;

    // No clear run as long as this or longer exists (an upper bound that frees reset).
    private long _noRunOf = long.MaxValue;

    /// <summary>Makes one, not loaded.</summary>
    /// <param name="memory">For the lists.</param>
    /// <param name="units">Number of units.</param>
    /// <param name="allocated">Units that the space map says are allocated.</param>
    internal MetaslabCore(RangeMemory memory, long units, long allocated)
    {
        _memory = memory;
        Units = units;
        Allocated = allocated;
        MapAllocated = allocated;
    }

    /// <summary>Number of units.</summary>
    internal long Units { get; }

    /// <summary>Allocated units, changes that are not yet in the space map included.</summary>
    internal long Allocated { get; private set; }

    /// <summary>Allocated units according to the space map as emitted so far.</summary>
    internal long MapAllocated { get; private set; }

    /// <summary>Freed units that may not be used yet.</summary>
    internal long Deferred { get; private set; }

    /// <summary>Units that may be handed out.</summary>
    internal long Available => Units - Allocated - Deferred;

    /// <summary>True while the bitmap is in memory.</summary>
    internal bool IsLoaded => _bitmap is not null;

    /// <summary>Could a run of so many units be here? False is certain.</summary>
    internal bool MayServe(long count) => count < _noRunOf && count <= Available;

    /// <summary>Takes a run of units, in the bitmap only; -1 if there is none.</summary>
    /// <param name="count">Units.</param>
    /// <param name="cursor">Which place to go on from.</param>
    /// <param name="fromStart">Look from the beginning, to fill small holes.</param>
    internal long TryAllocate(long count, int cursor, bool fromStart)
    {
        MetaslabBitmap bitmap = _bitmap ?? throw new InvalidOperationException("allocation from a metaslab that is not loaded");
        if (!MayServe(count))
        {
            return -1;
        }

        long from = fromStart ? 0 : _cursor[cursor];
        long start = bitmap.FindClearRun(from, Units, count);
        if (start < 0 && from > 0)
        {
            start = bitmap.FindClearRun(0, Math.Min(Units, from + count - 1), count);
        }

        if (start < 0)
        {
            _noRunOf = count;
            return -1;
        }

        if (!bitmap.TrySet(start, count))
        {
            throw new InvalidOperationException($"found run {start}+{count} is not clear");
        }

        Allocated += count;
        if (!fromStart)
        {
            _cursor[cursor] = start + count == Units ? 0 : start + count;
        }

        return start;
    }

    /// <summary>Takes back what TryAllocate gave, before Commit.</summary>
    internal void Cancel(long start, long count)
    {
        if (!_bitmap!.TryClear(start, count))
        {
            throw new InvalidOperationException($"cancelled run {start}+{count} is not taken");
        }

        Allocated -= count;
        _noRunOf = long.MaxValue;
    }

    /// <summary>Takes given units, if they are free. Loaded only.</summary>
    internal bool TryClaim(long start, long count, ulong txg)
    {
        MetaslabBitmap bitmap = _bitmap ?? throw new InvalidOperationException("claim in a metaslab that is not loaded");
        if (start < 0 || count <= 0 || start > Units - count || !bitmap.TrySet(start, count))
        {
            return false;
        }

        Allocated += count;
        Commit(start, count, txg);
        return true;
    }

    /// <summary>Makes an allocation part of a txg.</summary>
    internal void Commit(long start, long count, ulong txg) => ListOf(ref _allocs[txg % TxgSlots]).Add(start, count);

    /// <summary>Frees units in a txg. Throws ZfsException (ECKSUM) if they are known not to be allocated.</summary>
    internal void Free(long start, long count, ulong txg)
    {
        if (start < 0 || count <= 0 || start > Units - count || count > Allocated
            || (_bitmap is not null && _bitmap.NextClear(start, start + count) != start + count))
        {
            throw new ZfsException(Errno.ECKSUM, $"units {start:x}+{count:x} freed but not allocated");
        }

        ListOf(ref _frees[txg % TxgSlots]).Add(start, count);
        Allocated -= count;
        Deferred += count;
    }

    /// <summary>Is anything of this txg not in the space map yet?</summary>
    internal bool HasPending(ulong txg) => _allocs[txg % TxgSlots] is { Count: > 0 } || _frees[txg % TxgSlots] is { Count: > 0 };

    /// <summary>Takes the changes of a txg that are not in the space map yet out of the core. EndEmit must follow.</summary>
    internal (RangeList? Allocs, RangeList? Frees) BeginEmit(ulong txg)
    {
        int slot = (int)(txg % TxgSlots);
        (RangeList? Allocs, RangeList? Frees) taken = (_allocs[slot], _frees[slot]);
        _allocs[slot] = null;
        _frees[slot] = null;
        return taken;
    }

    /// <summary>The changes have been appended to the space map.</summary>
    internal void EndEmit(RangeList? allocs, RangeList? frees)
    {
        if (allocs is not null)
        {
            MapAllocated += allocs.Count;
            allocs.Clear();
        }

        if (frees is not null)
        {
            MapAllocated -= frees.Count;
            if (_freed is null or { Count: 0 })
            {
                _freed?.Clear();
                _freed = frees;
            }
            else
            {
                frees.AddTo(_freed);
                frees.Clear();
            }
        }

        if (MapAllocated < 0)
        {
            throw new ZfsException(Errno.ECKSUM, "space map: more freed than was allocated");
        }
    }

    /// <summary>A txg is on disk: its freed units enter the ring, and those of two txgs ago come out.</summary>
    internal void SyncDone()
    {
        RangeList? slot = _defer[_deferNext];
        if (slot is { Count: > 0 })
        {
            if (_bitmap is not null)
            {
                slot.ClearIn(_bitmap);
            }

            Deferred -= slot.Count;
            _noRunOf = long.MaxValue;
            slot.Clear();
        }

        _defer[_deferNext] = _freed;
        _freed = slot;
        _deferNext = (_deferNext + 1) % DeferTxgs;
    }

    /// <summary>True if SyncDone would change anything.</summary>
    internal bool HasFreed => Deferred > 0;

    /// <summary>Takes a bitmap that holds what the space map says (as emitted so far), and adds what must not be handed out
    /// besides. Throws ZfsException (ECKSUM), and takes nothing, if the map contradicts itself or the lists.</summary>
    internal void Load(MetaslabBitmap map)
    {
        long set = map.CountSet();
        if (set != MapAllocated)
        {
            throw new ZfsException(Errno.ECKSUM, $"space map holds {set} units, its header says {MapAllocated}");
        }

        foreach (RangeList? list in _allocs)
        {
            list?.SetIn(map);
        }

        foreach (RangeList? list in _defer)
        {
            list?.SetIn(map);
        }

        _freed?.SetIn(map);
        _bitmap?.Dispose();
        _bitmap = map;
        _noRunOf = long.MaxValue;
    }

    /// <summary>Drops the bitmap.</summary>
    internal void Unload()
    {
        _bitmap?.Dispose();
        _bitmap = null;
    }

    /// <summary>A bitmap of exactly what the space map says now, while loaded and nothing is being emitted. The caller
    /// disposes of it. Null if there is no memory for it now.</summary>
    internal MetaslabBitmap? SnapshotMap()
    {
        if (MetaslabBitmap.TryCreate(Units, KmFlags.NoSleep) is not { } copy)
        {
            return null;
        }

        copy.CopyFrom(_bitmap ?? throw new InvalidOperationException("snapshot of a metaslab that is not loaded"));
        foreach (RangeList? list in _allocs)
        {
            list?.ClearIn(copy);
        }

        foreach (RangeList? list in _defer)
        {
            list?.ClearIn(copy);
        }

        _freed?.ClearIn(copy);
        return copy;
    }

    /// <summary>Gives all memory back.</summary>
    internal void Dispose()
    {
        Unload();
        _freed?.Clear();
        foreach (RangeList?[] lists in (ReadOnlySpan<RangeList?[]>)[_allocs, _frees, _defer])
        {
            foreach (RangeList? list in lists)
            {
                list?.Clear();
            }
        }
    }

    private RangeList ListOf(ref RangeList? slot) => slot ??= new RangeList(_memory, Units);
}
