using ZfsLite.Kmem;

namespace ZfsLite.Fs.Tests;

/// <summary>
/// A metaslab core next to a model that holds one state per unit, and a space map kept as a list. Each step does the same to
/// both and compares; the list is replayed to check that a loader would accept it.
/// </summary>
internal sealed class MetaslabModel : IDisposable
{
    private const int Free = 0, Allocated = 1, Freed = 2;

    private readonly RangeMemory _chunks = new();
    private readonly int[] _state;
    private readonly ulong[] _freedTxg;
    private readonly List<(long Start, long Count)> _blocks = [];
    private readonly EntryLog _map = new();
    private readonly Random _random;

    internal MetaslabModel(int units, int seed)
    {
        _random = new Random(seed);
        _state = new int[units];
        _freedTxg = new ulong[units];
        Core = new MetaslabCore(_chunks, units, 0);
        Core.Load(new MetaslabBitmap(units, KmFlags.Sleep));
    }

    internal MetaslabCore Core { get; }

    internal ulong Txg { get; private set; } = 5;

    internal int Failures { get; private set; }

    internal void Step()
    {
        switch (_random.Next(20))
        {
            case < 9: Allocate(); break;
            case < 15: FreeOne(); break;
            case 15: Emit(); break;
            case 16: Reload(); break;
            case 17: Cancel(); break;
            default: EndTxg(); break;
        }

        Compare();
    }

    internal void Allocate()
    {
        int count = _random.Next(4) == 0 ? _random.Next(1, 40) : _random.Next(1, 6);
        bool fromStart = _random.Next(3) == 0;
        long start = Core.TryAllocate(count, _random.Next(3), fromStart);
        if (start < 0)
        {
            Failures++;
            Check(LongestFree() < count, $"no room found for {count}, but {LongestFree()} units are free in a row");
            return;
        }

        for (long u = start; u < start + count; u++)
        {
            Check(_state[u] == Free, $"unit {u} handed out in state {_state[u]}");
            _state[u] = Allocated;
        }

        Core.Commit(start, count, Txg);
        _blocks.Add((start, count));
    }

    internal void FreeOne()
    {
        if (_blocks.Count == 0)
        {
            return;
        }

        int i = _random.Next(_blocks.Count);
        (long start, long count) = _blocks[i];
        _blocks[i] = _blocks[^1];
        _blocks.RemoveAt(_blocks.Count - 1);
        Core.Free(start, count, Txg);
        for (long u = start; u < start + count; u++)
        {
            _state[u] = Freed;
            _freedTxg[u] = Txg;
        }
    }

    internal void Emit()
    {
        (RangeList? allocs, RangeList? frees) = Core.BeginEmit(Txg);
        allocs?.Emit(free: false, _map);
        frees?.Emit(free: true, _map);
        Core.EndEmit(allocs, frees);
        using MetaslabBitmap replayed = Replay();
        Check(replayed.CountSet() == Core.MapAllocated, "the map's total is wrong");
        for (int u = 0; u < _state.Length; u++)
        {
            bool set = replayed.NextSet(u, u + 1) == u;
            Check(set == (_state[u] == Allocated), $"unit {u} is in state {_state[u]}, the map says {set}");
        }
    }

    internal void EndTxg()
    {
        Emit();
        Core.SyncDone();
        for (int u = 0; u < _state.Length; u++)
        {
            if (_state[u] == Freed && _freedTxg[u] + 2 <= Txg)
            {
                _state[u] = Free;
            }
        }

        Txg++;
    }

    internal void Reload()
    {
        Core.Unload();
        Core.Load(Replay());
    }

    private void Cancel()
    {
        long start = Core.TryAllocate(3, 0, false);
        if (start >= 0)
        {
            Core.Cancel(start, 3);
        }
    }

    private MetaslabBitmap Replay()
    {
        var map = new MetaslabBitmap(_state.Length, KmFlags.Sleep);
        SpaceMapReplay.Apply(_map.Entries.ToArray(), map);
        return map;
    }

    private int LongestFree()
    {
        int best = 0;
        int run = 0;
        foreach (int s in _state)
        {
            run = s == Free ? run + 1 : 0;
            best = Math.Max(best, run);
        }

        return best;
    }

    private void Compare()
    {
        Check(Core.Allocated == _state.Count(static s => s == Allocated), "allocated");
        Check(Core.Deferred == _state.Count(static s => s == Freed), $"deferred {Core.Deferred} {_state.Count(static s => s == Freed)}");
        Check(Core.Available == _state.Count(static s => s == Free), "available");
    }

    private static void Check(bool condition, string what)
    {
        if (!condition)
        {
            throw new InvalidOperationException(what);
        }
    }

    public void Dispose()
    {
        Core.Dispose();
        _chunks.Dispose();
    }
}
