using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>
/// A set of units of one metaslab on their way into the space map, or on their way back to the allocator. It starts as a list
/// of runs, in arena chunks, that joins a run to the one before it where they touch. Once the list would take more memory
/// than a bit per unit it turns into a bitmap, so that its memory is bounded by the metaslab's size. Not thread-safe.
/// </summary>
internal sealed unsafe class RangeList(RangeMemory memory, long units)
{
    /// <summary>Bytes of a chunk: a link, then runs in the form of space map records.</summary>
    internal const int ChunkSize = 512;

    private const int RunsPerChunk = (ChunkSize / sizeof(ulong)) - 1;

    // Below this length a list is never turned into a bitmap.
    private const long MinRunsOfBitmap = RunsPerChunk;

    private ulong* _head;
    private ulong* _tail;
    private int _tailRuns;
    private long _runs;
    private MetaslabBitmap? _bitmap;

    /// <summary>Units in the set.</summary>
    internal long Count { get; private set; }

    /// <summary>True once the set has become a bitmap.</summary>
    internal bool IsBitmap => _bitmap is not null;

    private long MaxRuns => Math.Max(MinRunsOfBitmap, units / 64);

    /// <summary>Adds units. Throws ZfsException (ECKSUM) if the set is seen to hold some of them already.</summary>
    internal void Add(long start, long count)
    {
        Count += count;
        if (_bitmap is null && _runs >= MaxRuns)
        {
            BecomeBitmap();
        }

        if (_bitmap is not null)
        {
            SetOrThrow(_bitmap, start, count);
            return;
        }

        while (count > 0)
        {
            int run = (int)Math.Min(count, SpaceMapPhys.MaxRun);
            if (!JoinLast(start, run))
            {
                Push(SpaceMapPhys.Entry(isAlloc: true, (ulong)start, run));
            }

            start += run;
            count -= run;
        }
    }

    /// <summary>Sets every unit in <paramref name="target"/>, where it must be clear; ZfsException (ECKSUM) if it is not.</summary>
    internal void SetIn(MetaslabBitmap target)
    {
        var visitor = new Setter(target);
        Visit(ref visitor);
    }

    /// <summary>Clears every unit in <paramref name="target"/>, where it must be set; ZfsException (ECKSUM) if it is not.</summary>
    internal void ClearIn(MetaslabBitmap target)
    {
        var visitor = new Clearer(target);
        Visit(ref visitor);
    }

    /// <summary>Adds every unit to another set.</summary>
    internal void AddTo(RangeList target)
    {
        var visitor = new Adder(target);
        Visit(ref visitor);
    }

    /// <summary>Appends the set to a space map, sorted, touching runs joined. Throws ZfsException (ECKSUM), before anything is
    /// appended, if a unit is in the set twice.</summary>
    internal void Emit(bool free, ISpaceMapSink sink)
    {
        if (_bitmap is not null)
        {
            var emitter = new Emitter(free, sink);
            VisitBitmap(ref emitter);
        }
        else if (_runs > 0)
        {
            EmitList(free, sink);
        }
    }

    /// <summary>Empties the set and gives its memory back.</summary>
    internal void Clear()
    {
        while (_head != null)
        {
            ulong* next = (ulong*)*_head;
            memory.Chunks.Free((byte*)_head);
            _head = next;
        }

        _tail = null;
        _tailRuns = 0;
        _runs = 0;
        _bitmap?.Dispose();
        _bitmap = null;
        Count = 0;
    }

    /// <summary>Appends a run in records of at most <see cref="SpaceMapPhys.MaxRun"/>.</summary>
    internal static void EmitRun(bool free, long start, long count, ISpaceMapSink sink)
    {
        while (count > 0)
        {
            int run = (int)Math.Min(count, SpaceMapPhys.MaxRun);
            sink.Append(SpaceMapPhys.Entry(!free, (ulong)start, run));
            start += run;
            count -= run;
        }
    }

    private static void SetOrThrow(MetaslabBitmap bitmap, long start, long count)
    {
        if (!bitmap.TrySet(start, count))
        {
            throw new ZfsException(Errno.ECKSUM, $"space map: units {start:x}+{count:x} are in the set already (allocated or freed twice)");
        }
    }

    private bool JoinLast(long start, int run)
    {
        if (_tail == null)
        {
            return false;
        }

        ref ulong last = ref _tail[_tailRuns];
        long lastStart = (long)SpaceMapPhys.OffsetOf(last);
        int lastRun = SpaceMapPhys.RunOf(last);
        if (lastRun + run > SpaceMapPhys.MaxRun || (lastStart + lastRun != start && start + run != lastStart))
        {
            return false;
        }

        last = SpaceMapPhys.Entry(isAlloc: true, (ulong)Math.Min(start, lastStart), lastRun + run);
        return true;
    }

    private void Push(ulong run)
    {
        if (_tail == null || _tailRuns == RunsPerChunk)
        {
            ulong* chunk = (ulong*)memory.Chunks.Alloc(KmFlags.PushPage);
            *chunk = 0;
            if (_tail == null)
            {
                _head = chunk;
            }
            else
            {
                *_tail = (ulong)chunk;
            }

            _tail = chunk;
            _tailRuns = 0;
        }

        _tail[++_tailRuns] = run;
        _runs++;
    }

    private void BecomeBitmap()
    {
        // The sync path goes on with the list rather than wait.
        bool must = !SyncPool.InForce || !SyncPool.IsSyncThread;
        if (MetaslabBitmap.TryCreate(units, KmFlags.PushPage | (must ? 0 : KmFlags.NoSleep)) is not { } bitmap)
        {
            return;
        }

        SetIn(bitmap);
        long count = Count;
        Clear();
        Count = count;
        _bitmap = bitmap;
    }

    private void EmitList(bool free, ISpaceMapSink sink)
    {
        if (_runs <= RangeMemory.SortRuns)
        {
            EmitParts(free, new Span<ulong>(memory.Sort, (int)_runs), sink);
            return;
        }

        bool must = !SyncPool.InForce || !SyncPool.IsSyncThread;
        long bytes = _runs * sizeof(ulong);
        byte* all = KmemAllocator.VmemAlloc(bytes, KmFlags.PushPage | (must ? 0 : KmFlags.NoSleep));
        if (all is null)
        {
            // Sorted in parts: the map grows longer, and what is in the set twice is seen within a part only.
            EmitParts(free, new Span<ulong>(memory.Sort, RangeMemory.SortRuns), sink);
            return;
        }

        try
        {
            EmitParts(free, new Span<ulong>(all, checked((int)_runs)), sink);
        }
        finally
        {
            KmemAllocator.VmemFree(all, bytes);
        }
    }

    /// <summary>Emits the list, sorted within each part that fits the room.</summary>
    private void EmitParts(bool free, Span<ulong> room, ISpaceMapSink sink)
    {
        int n = 0;
        for (ulong* chunk = _head; chunk != null; chunk = (ulong*)*chunk)
        {
            int runs = chunk == _tail ? _tailRuns : RunsPerChunk;
            if (n + runs > room.Length)
            {
                EmitPart(free, room[..n], sink);
                n = 0;
            }

            new ReadOnlySpan<ulong>(chunk + 1, runs).CopyTo(room[n..]);
            n += runs;
        }

        EmitPart(free, room[..n], sink);
    }

    private static void EmitPart(bool free, Span<ulong> part, ISpaceMapSink sink)
    {
        part.Sort();
        CheckDisjoint(part);
        EmitSorted(free, part, sink);
    }

    private static void CheckDisjoint(ReadOnlySpan<ulong> sorted)
    {
        for (int i = 1; i < sorted.Length; i++)
        {
            if ((long)SpaceMapPhys.OffsetOf(sorted[i]) < (long)SpaceMapPhys.OffsetOf(sorted[i - 1]) + SpaceMapPhys.RunOf(sorted[i - 1]))
            {
                throw new ZfsException(Errno.ECKSUM, $"space map: unit {(long)SpaceMapPhys.OffsetOf(sorted[i]):x} allocated or freed twice in one txg");
            }
        }
    }

    private static void EmitSorted(bool free, ReadOnlySpan<ulong> sorted, ISpaceMapSink sink)
    {
        long start = (long)SpaceMapPhys.OffsetOf(sorted[0]);
        long end = start;
        foreach (ulong run in sorted)
        {
            if ((long)SpaceMapPhys.OffsetOf(run) != end)
            {
                EmitRun(free, start, end - start, sink);
                start = (long)SpaceMapPhys.OffsetOf(run);
            }

            end = (long)SpaceMapPhys.OffsetOf(run) + SpaceMapPhys.RunOf(run);
        }

        EmitRun(free, start, end - start, sink);
    }

    private void Visit<T>(ref T visitor)
        where T : struct, IRunVisitor
    {
        if (_bitmap is not null)
        {
            VisitBitmap(ref visitor);
            return;
        }

        for (ulong* chunk = _head; chunk != null; chunk = (ulong*)*chunk)
        {
            int runs = chunk == _tail ? _tailRuns : RunsPerChunk;
            for (int i = 1; i <= runs; i++)
            {
                visitor.Run((long)SpaceMapPhys.OffsetOf(chunk[i]), SpaceMapPhys.RunOf(chunk[i]));
            }
        }
    }

    private void VisitBitmap<T>(ref T visitor)
        where T : struct, IRunVisitor
    {
        long at = 0;
        while (true)
        {
            long start = _bitmap!.NextSet(at, units);
            if (start == units)
            {
                return;
            }

            at = _bitmap.NextClear(start, units);
            visitor.Run(start, at - start);
        }
    }

    private interface IRunVisitor
    {
        void Run(long start, long count);
    }

    private readonly struct Setter(MetaslabBitmap target) : IRunVisitor
    {
        public void Run(long start, long count) => SetOrThrow(target, start, count);
    }

    private readonly struct Clearer(MetaslabBitmap target) : IRunVisitor
    {
        public void Run(long start, long count)
        {
            if (!target.TryClear(start, count))
            {
                throw new ZfsException(Errno.ECKSUM, $"space map: units {start:x}+{count:x} freed but not allocated");
            }
        }
    }

    private readonly struct Adder(RangeList target) : IRunVisitor
    {
        public void Run(long start, long count) => target.Add(start, count);
    }

    private readonly struct Emitter(bool free, ISpaceMapSink sink) : IRunVisitor
    {
        public void Run(long start, long count) => EmitRun(free, start, count, sink);
    }
}
