using System.Numerics;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// What one engine has on one memory node: its slabs, the shared queue and the alien queues. Slabs with free objects are in one of
/// two lists, fuller ones at the head, empty ones at the tail: those tagged as reserve, and all others. The lock guards lists,
/// bitmaps and counts.
/// </summary>
internal sealed unsafe class SlubqNode
{
    /// <summary>Slabs that come and go at once.</summary>
    internal const int SlabBatch = 16;

    private const int BitsPerWord = 64;

    private readonly KmemSystem _system;
    private readonly SlubqEngine _engine;
    private readonly MemoryNode _memory;
    private readonly PageDesc[] _pages;
    private readonly byte* _base;
    private readonly uint _stride;
    private readonly ulong _reciprocal;

    /// <summary>Pages of a slab, from the first, whose descriptors name it: those in which an object begins.</summary>
    private readonly int _described;
    private readonly Kmutex _lock = new("kmem_cache");
    private SlabList _partial;
    private SlabList _reserve;
    private int _emptySlabs;
    private long _slabTotal;
    private long _slabMax;
    private long _slabAlloc;
    private long _objectTotal;
    private long _objectInUse;
    private long _objectMax;
    private long _bytes;

    internal SlubqNode(KmemSystem system, SlubqEngine engine, int index, int sharedSize, int alienSize)
    {
        _system = system;
        _engine = engine;
        _pages = system.Mapping.Pages;
        _base = system.Mapping.Base;
        _stride = (uint)engine.Stride;
        _described = engine.Stride >= SlabGeometry.BigObject ? 1 : int.MaxValue;
        _reciprocal = (ulong.MaxValue / _stride) + 1;
        _memory = system.Pages.Nodes[index];
        _partial = new SlabList(_pages);
        _reserve = new SlabList(_pages);
        Index = index;
        Shared = new SlubqQueue(system, "kmem_cache_shared", sharedSize);
        int nodes = system.Pages.Nodes.Length;
        Aliens = nodes == 1 ? [] : new SlubqQueue[nodes];
        for (int i = 0; i < Aliens.Length; i++)
        {
            Aliens[i] = new SlubqQueue(system, "kmem_cache_alien", i == index ? 0 : alienSize);
        }
    }

    /// <summary>Number of the node.</summary>
    internal int Index { get; }

    /// <summary>The queue between those of the virtual CPUs and the slabs.</summary>
    internal SlubqQueue Shared { get; }

    /// <summary>By node: objects freed here that are of its slabs. Empty if there is one node.</summary>
    internal SlubqQueue[] Aliens { get; }

    /// <summary>Slabs tagged as reserve that have free objects.</summary>
    internal int ReserveSlabs => _reserve.Count;

    /// <summary>Slabs with free objects, tagged ones left out.</summary>
    internal int PartialSlabs => _partial.Count;

    /// <summary>Takes up to <paramref name="max"/> objects. Those of tagged slabs are for the entitled, who get them last.</summary>
    /// <returns>How many.</returns>
    internal int Take(byte** into, int max, bool entitled)
    {
        int n = 0;
        _lock.Enter();
        if (_partial.Count == 0 && _reserve.Count > 0 && _memory.FreePages >= _memory.Marks.Low)
        {
            EndReserve();
        }

        while (n < max && _partial.Count > 0)
        {
            into[n++] = TakeObject(ref _partial);
        }

        // One at a time: they must not come into a queue.
        if (n == 0 && entitled && _reserve.Count > 0)
        {
            into[n++] = TakeObject(ref _reserve);
        }

        _lock.Exit();
        return n;
    }

    /// <summary>Takes one object, or null.</summary>
    internal byte* TakeOne(bool entitled)
    {
        byte* obj;
        return Take(&obj, 1, entitled) == 0 ? null : obj;
    }

    /// <summary>Gives objects of this node back to their slabs.</summary>
    internal void Put(byte** objects, int count)
    {
        _lock.Enter();
        for (int i = 0; i < count; i++)
        {
            PutObject(objects[i]);
        }

        int keep = _system.Pages.HasWaiters ? 0 : _engine.MinPartial;
        bool trim = _emptySlabs > keep;
        _lock.Exit();
        if (trim)
        {
            FreeEmpty(keep);
        }
    }

    /// <summary>Slabs, a guess.</summary>
    internal long Slabs => _slabTotal;

    /// <summary>Adds a slab of new pages and takes an object from it.</summary>
    internal byte* Add(int head, int pages, int objects)
    {
        byte* obj;
        _ = Add([head], pages, objects, &obj, 1);
        return obj;
    }

    /// <summary>Adds slabs of new pages and takes objects from them.</summary>
    /// <returns>How many, one at least.</returns>
    internal int Add(ReadOnlySpan<int> heads, int pages, int objects, byte** into, int max)
    {
        foreach (int head in heads)
        {
            Cut(head, pages, objects);
        }

        int n = 0;
        _lock.Enter();
        _slabTotal += heads.Length;
        _slabMax = Math.Max(_slabMax, _slabTotal);
        _objectTotal += (long)heads.Length * objects;
        _bytes += ((long)heads.Length * pages) << ArenaMapping.PageShift;
        _emptySlabs += heads.Length;
        foreach (int head in heads)
        {
            ref SlabList list = ref ListOf(ref _pages[head]);
            list.AddHead(head);
            for (int i = 0; i < objects && n < max; i++)
            {
                into[n++] = TakeObject(ref list);
            }
        }

        _lock.Exit();
        return n;
    }

    /// <summary>Makes a slab of pages, with all its objects free.</summary>
    private void Cut(int head, int pages, int objects)
    {
        bool reserve = _pages[head].Reserve;
        int owner = _engine.OwnerOf(Index, reserve);
        for (int i = head; i < head + Math.Min(pages, _described); i++)
        {
            ref PageDesc p = ref _pages[i];
            p.Kind = PageKind.Slab;
            p.Head = head;
            p.Owner = owner;
        }

        ref PageDesc slab = ref _pages[head];
        slab.Pages = pages;
        slab.Objects = objects;
        slab.InUse = 0;
        slab.Listed = false;
        SetFree(head, objects);
    }

    /// <summary>Gives empty slabs, which are at the tails of the lists, back until <paramref name="keep"/> are left.</summary>
    /// <returns>Pages given back.</returns>
    internal int FreeEmpty(int keep)
    {
        Span<int> heads = stackalloc int[SlabBatch];
        int freed = 0;
        int count;
        do
        {
            count = UnlinkEmpty(heads, keep);
            int inArena = 0;
            for (int i = 0; i < count; i++)
            {
                int pages = _pages[heads[i]].Pages;
                freed += pages;
                if (heads[i] >= _system.Mapping.WindowStart)
                {
                    _system.Vmalloc.Free(heads[i], pages);
                }
                else
                {
                    heads[inArena++] = heads[i];
                }
            }

            if (inArena > 0)
            {
                _system.Pages.Free(Index, heads[..inArena], _described);
            }
        }
        while (count == heads.Length);
        return freed;
    }

    /// <summary>Adds the figures to those of other nodes.</summary>
    internal SlabEngineStats Add(SlabEngineStats stats)
    {
        long queued = Shared.Count;
        foreach (SlubqQueue alien in Aliens)
        {
            queued += alien.Count;
        }

        _lock.Enter();
        stats = stats with
        {
            SlabsTotal = stats.SlabsTotal + _slabTotal,
            SlabsAllocated = stats.SlabsAllocated + _slabAlloc,
            SlabsMax = stats.SlabsMax + _slabMax,
            ObjectsTotal = stats.ObjectsTotal + _objectTotal,
            ObjectsOut = stats.ObjectsOut + _objectInUse - queued,
            ObjectsMax = stats.ObjectsMax + _objectMax,
            Bytes = stats.Bytes + _bytes,
            Queued = stats.Queued + queued,
        };
        _lock.Exit();
        return stats;
    }

    private int UnlinkEmpty(Span<int> heads, int keep)
    {
        int count = 0;
        _lock.Enter();
        while (count < heads.Length && _emptySlabs > keep)
        {
            int head = EmptyTail();
            if (head < 0)
            {
                break;
            }

            ref PageDesc slab = ref _pages[head];
            ListOf(ref slab).Remove(head);
            _emptySlabs--;
            _slabTotal--;
            _objectTotal -= slab.Objects;
            _bytes -= (long)slab.Pages << ArenaMapping.PageShift;
            heads[count++] = head;
        }

        _lock.Exit();
        return count;
    }

    private ref SlabList ListOf(ref PageDesc slab) => ref slab.Reserve ? ref _reserve : ref _partial;

    private int EmptyTail()
    {
        int head = _reserve.Tail;
        if (head >= 0 && _pages[head].InUse == 0)
        {
            return head;
        }

        head = _partial.Tail;
        return head >= 0 && _pages[head].InUse == 0 ? head : -1;
    }

    /// <summary>Pressure has passed: the tagged slabs are like any other from now on. The lock is held.</summary>
    private void EndReserve()
    {
        int owner = _engine.OwnerOf(Index, false);
        while (_reserve.Count > 0)
        {
            int head = _reserve.Head;
            _reserve.Remove(head);
            ref PageDesc slab = ref _pages[head];
            slab.Reserve = false;
            for (int i = head; i < head + Math.Min(slab.Pages, _described); i++)
            {
                _pages[i].Owner = owner;
            }

            if (slab.InUse == 0)
            {
                _partial.AddTail(head);
            }
            else
            {
                _partial.AddHead(head);
            }
        }
    }

    /// <summary>Takes an object from the first slab of a list. There is one; the lock is held.</summary>
    private byte* TakeObject(ref SlabList list)
    {
        int head = list.Head;
        ref PageDesc slab = ref _pages[head];
        int index = TakeBit(head, ref slab);
        if (slab.InUse++ == 0)
        {
            _emptySlabs--;
            _slabAlloc++;
        }

        _objectMax = Math.Max(_objectMax, ++_objectInUse);
        if (slab.InUse == slab.Objects)
        {
            list.Remove(head);
        }

        return AddressOf(head) + ((long)index * _stride);
    }

    /// <summary>Gives an object back to its slab. The lock is held.</summary>
    private void PutObject(byte* obj)
    {
        int head = _pages[(obj - _base) >> ArenaMapping.PageShift].Head;
        ref PageDesc slab = ref _pages[head];
        uint offset = (uint)(obj - AddressOf(head));

        // The quotient without a division: exact for 32 bits each.
        int index = (int)Math.BigMul(_reciprocal, offset, out _);
        if ((uint)index * _stride != offset || index >= slab.Objects || !PutBit(head, ref slab, index))
        {
            _lock.Exit();
            throw new InvalidOperationException($"cache {_engine.Name}: 0x{(ulong)obj:x} is no object, or is freed twice");
        }

        slab.InUse--;
        _objectInUse--;
        ref SlabList list = ref ListOf(ref slab);
        if (slab.InUse == 0)
        {
            _emptySlabs++;
            _slabAlloc--;
            if (slab.Listed)
            {
                list.Remove(head);
            }

            list.AddTail(head);
        }
        else if (!slab.Listed)
        {
            list.AddHead(head);
        }
    }

    private byte* AddressOf(int page) => _base + ((long)page << ArenaMapping.PageShift);

    private void SetFree(int head, int objects)
    {
        if (objects <= BitsPerWord)
        {
            _pages[head].Data = objects == BitsPerWord ? ulong.MaxValue : (1UL << objects) - 1;
            return;
        }

        Span<ulong> words = Words(head, objects);
        words.Fill(ulong.MaxValue);
        if (objects % BitsPerWord != 0)
        {
            words[^1] = (1UL << (objects % BitsPerWord)) - 1;
        }
    }

    private int TakeBit(int head, ref PageDesc slab)
    {
        if (slab.Objects <= BitsPerWord)
        {
            int bit = BitOperations.TrailingZeroCount(slab.Data);
            slab.Data &= slab.Data - 1;
            return bit;
        }

        Span<ulong> words = Words(head, slab.Objects);
        for (int i = 0; i < words.Length; i++)
        {
            if (words[i] != 0)
            {
                int bit = BitOperations.TrailingZeroCount(words[i]);
                words[i] &= words[i] - 1;
                return (i * BitsPerWord) + bit;
            }
        }

        throw new InvalidOperationException($"cache {_engine.Name}: a partial slab has no free object");
    }

    private bool PutBit(int head, ref PageDesc slab, int index)
    {
        ulong mask = 1UL << (index % BitsPerWord);
        ref ulong word = ref slab.Objects <= BitsPerWord ? ref slab.Data : ref Words(head, slab.Objects)[index / BitsPerWord];
        bool taken = (word & mask) == 0;
        word |= mask;
        return taken;
    }

    private Span<ulong> Words(int head, int objects) =>
        _system.Mapping.SlabBits.AsSpan(head * ArenaMapping.BitWordsPerPage, (objects + BitsPerWord - 1) / BitsPerWord);
}
