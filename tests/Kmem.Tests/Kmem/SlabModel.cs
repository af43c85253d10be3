using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

/// <summary>
/// One random life of a few caches in the simulator: threads that allocate, free, pass objects on, resize queues, reap and run short
/// of memory, all by a seed; and a model beside them that knows who holds what. Only one thread runs at a time and the model has no
/// scheduling point, so it needs no lock.
/// </summary>
internal sealed unsafe class SlabModel(ulong seed, SlabEngineKind engine)
{
    private const int Threads = 4;
    private const int Steps = 14;
    private static readonly int[] s_sizes = [64, 512, 2048, 5000, 20480];

    private readonly Dictionary<nint, int> _live = [];
    private readonly List<(nint Object, int Cache)> _passedOn = [];
    private readonly KmemCache[] _caches = new KmemCache[2];
    private readonly long[] _allocs = new long[2];
    private readonly long[] _frees = new long[2];
    private readonly List<(int Page, int Pages)> _hoard = [];
    private KmemSystem _system = null!;

    /// <summary>Objects of tagged slabs that entitled threads got.</summary>
    internal int FromReserve { get; private set; }

    /// <summary>Allocations that failed, as KM_NOSLEEP may.</summary>
    internal int Refused { get; private set; }

    internal void Run()
    {
        var rng = new KmemWorld.Rng(seed);
        int nodes = 1 + rng.Next(3);
        _system = KmemSystem.Init(KmemWorld.Options(nodes: nodes, merge: rng.Next(2) == 0, engine: engine));
        string? leaks;
        try
        {
            Live(rng);
            leaks = _system.DescribeLeaks();
        }
        finally
        {
            KmemSystem.Shutdown();
        }

        Assert.Null(leaks);
    }

    private void Live(KmemWorld.Rng rng)
    {
        bool isShort = rng.Next(2) == 0;
        int size = s_sizes[rng.Next(s_sizes.Length)];
        for (int i = 0; i < _caches.Length; i++)
        {
            _caches[i] = Make($"model{i}", i == 0 || rng.Next(2) == 0 ? size : s_sizes[rng.Next(s_sizes.Length)]);
        }

        if (isShort)
        {
            HoardToMin();
        }

        KmemWorld.Parallel(Threads, me => Thread(me, new KmemWorld.Rng((seed * Threads) + (ulong)me), isShort));
        foreach ((nint obj, int cache) in _passedOn.ToArray())
        {
            Free(obj, cache);
        }

        _hoard.ForEach(h => _system.Pages.Free(h.Page, h.Pages));
        Assert.Empty(_live);
        for (int i = 0; i < _caches.Length; i++)
        {
            KmemCacheStats stats = _caches[i].Statistics();
            Assert.Equal((_allocs[i], _frees[i], 0L), (stats.Allocs, stats.Frees, stats.ObjectsAllocated));
            _caches[i].Destroy();
        }
    }

    private KmemCache Make(string name, int size) =>
        KmemCache.Create(name, size, 8, null, null, engine == SlabEngineKind.Spl ? KmemCacheFlags.Kmem : KmemCacheFlags.None);

    /// <summary>Takes pages until every node is at its min, in large pieces first.</summary>
    private void HoardToMin()
    {
        foreach (MemoryNode node in _system.Pages.Nodes)
        {
            for (int order = MemoryNode.MaxOrder; order >= 0; order--)
            {
                int page;
                while ((page = node.TryAlloc(1 << order, node.Marks.Min + 2)) >= 0)
                {
                    _system.Mapping.Pages[page].Kind = PageKind.Large;
                    _hoard.Add((page, 1 << order));
                }
            }
        }
    }

    private void Thread(int me, KmemWorld.Rng rng, bool isShort)
    {
        var mine = new List<(nint Object, int Cache)>();
        for (int step = 0; step < Steps; step++)
        {
            int cache = rng.Next(_caches.Length);
            switch (rng.Next(12))
            {
                case < 6:
                    nint obj = Alloc(cache, rng, isShort);
                    if (obj != 0)
                    {
                        (rng.Next(3) == 0 ? _passedOn : mine).Add((obj, cache));
                    }

                    break;
                case < 9:
                    FreeOne(mine, rng);
                    break;
                case 9:
                    FreeOne(_passedOn, rng);
                    break;
                case 10:
                    Tune(_caches[cache], rng, isShort);
                    break;
                default:
                    _ = _system.Caches.Expire();
                    break;
            }
        }

        foreach ((nint obj, int cache) in mine)
        {
            Free(obj, cache);
        }

        SimWorld.Trace(me);
    }

    private void FreeOne(List<(nint Object, int Cache)> from, KmemWorld.Rng rng)
    {
        if (from.Count > 0)
        {
            int i = rng.Next(from.Count);
            (nint obj, int cache) = from[i];
            from.RemoveAt(i);
            Free(obj, cache);
        }
    }

    private nint Alloc(int cache, KmemWorld.Rng rng, bool isShort)
    {
        Kthread self = Kthread.Current;
        ThreadFlags saved = self.Flags;
        bool entitled = rng.Next(3) == 0;
        self.Flags |= entitled ? ThreadFlags.Memalloc : 0;
        KmFlags flags = isShort ? KmFlags.NoSleep : (KmFlags)(rng.Next(3) switch { 0 => 0, 1 => 1, _ => 4 });
        byte* obj = _caches[cache].Alloc(flags);
        self.Flags = saved;
        if (obj == null)
        {
            Assert.True((flags & KmFlags.NoSleep) != 0, "a sleeping allocation returned null");
            Refused++;
            return 0;
        }

        bool tagged = engine == SlabEngineKind.Slubq && _system.Mapping.Pages[_system.Mapping.Pages[_system.Mapping.IndexOf(obj)].Head].Reserve;
        Assert.True(entitled || !tagged, "an ordinary thread got an object of a tagged slab");
        FromReserve += tagged ? 1 : 0;
        Assert.True(_live.TryAdd((nint)obj, cache), "an object was handed out twice");
        *(nint*)obj = (nint)obj ^ cache;
        _allocs[cache]++;
        return (nint)obj;
    }

    private void Free(nint obj, int cache)
    {
        Assert.True(_live.Remove(obj, out int from) && from == cache);
        Assert.Equal(obj ^ cache, *(nint*)obj);
        *(nint*)obj = 0;
        _frees[cache]++;
        _caches[cache].Free((byte*)obj);
    }

    private void Tune(KmemCache cache, KmemWorld.Rng rng, bool isShort)
    {
        // The first three are of every engine.
        (string name, int value) = rng.Next(engine == SlabEngineKind.Slubq ? 5 : 3) switch
        {
            0 => ("cpu_queue_size", rng.Next(7)),
            1 => ("shrink", 1),
            2 => ("expire", 1),
            3 => ("shared_queue_size", 8 * rng.Next(3)),
            _ => ("min_partial", rng.Next(3)),
        };
        if (isShort && name == "cpu_queue_size")
        {
            // A new array would wait for memory that nobody here gives back.
            return;
        }

        try
        {
            KmemTunables.Set(cache.Name, name, $"{value}");
        }
        catch (KmemTunableException e) when (e.Errno == KmemTunableException.Einval)
        {
            // Smaller than a batch, or more than this arena's share: refused, and nothing has changed.
        }
    }
}
