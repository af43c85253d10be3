using System.Globalization;
using System.Text;

namespace ZfsLite.Kmem;

/// <summary>The attributes of a cache, and the ranges of those that can be set.</summary>
internal static class SlubqTunables
{
    /// <summary>Most empty slabs that a node may be told to keep.</summary>
    internal const int MaxMinPartial = 100;

    /// <summary>The queues of one cache may hold at most this part of the arena.</summary>
    internal const int ArenaShare = 8;

    /// <summary>All of them, in the order of their names.</summary>
    internal static readonly SlubqTunable[] All =
    [
        Slabs("aliases", static (c, e) => string.Join(' ', e.Caches.Where(o => !ReferenceEquals(o, c)).Select(static o => o.Name))),
        Slabs("alien_caches", static (_, e) => Aliens(e)),
        new("alien_queue_size", static c => Text(Engine(c).AlienSize), SetAlienQueue, true),
        Figure("align", static c => c.Align),
        Figure("alloc_fastpath", static c => c.Hits().Allocs),
        Slabs("alloc_shared", static (_, e) => Text(e.AllocShared)),
        Figure("alloc_slowpath", static c => c.Hits().SlowAllocs),
        new("batch_size", static c => Text(c.BatchSize), SetBatch, false),
        new("cpu_queue_size", static c => Text(c.QueueSize), SetQueue, false),
        new("expire", null, static (c, v) => Trigger("expire", c, v, static c => c.ExpireOnce()), false),
        Slabs("free_alien", static (_, e) => Text(e.FreeAlien)),
        Figure("free_fastpath", static c => c.Hits().Frees),
        Slabs("free_shared", static (_, e) => Text(e.FreeShared)),
        Figure("free_slowpath", static c => c.Hits().SlowFrees),
        new("min_partial", static c => Text(Engine(c).MinPartial), SetMinPartial, true),
        Figure("object_size", static c => c.ObjectSize),
        Figure("objects", static c => c.Statistics().ObjectsAllocated),
        Slabs("objs_per_slab", static (_, e) => Text(e.Geometry.ObjectsIn(e.Geometry.Pages))),
        Slabs("partial", static (_, e) => Text(Sum(e, static n => n.PartialSlabs + n.ReserveSlabs))),
        Slabs("per_cpu_caches", static (c, _) => PerCpu(c)),
        Slabs("pfmemalloc_slabs", static (_, e) => Text(Sum(e, static n => n.ReserveSlabs))),
        Slabs("queue_flush", static (_, e) => Text(e.QueueFlush)),
        Figure("queue_size", static c => c.Engine.QueueSize),
        Slabs("shared_caches", static (_, e) => Shared(e)),
        new("shared_queue_size", static c => Text(Engine(c).SharedSize), SetSharedQueue, true),
        new("shrink", null, static (c, v) => Trigger("shrink", c, v, static c => c.Reap()), false),
        Slabs("slab_size", static (_, e) => Text(e.Geometry.Pages * ArenaMapping.PageSize)),
        Slabs("slabs", static (_, e) => Text(e.Statistics().SlabsTotal)),
        Slabs("total_objects", static (_, e) => Text(e.Statistics().ObjectsTotal)),
    ];

    private static SlubqTunable Figure(string name, Func<KmemCache, long> read) => new(name, c => Text(read(c)), null, false);

    private static SlubqTunable Slabs(string name, Func<KmemCache, SlubqEngine, string> read) => new(name, c => read(c, Engine(c)), null, true);

    private static SlubqEngine Engine(KmemCache cache) => (SlubqEngine)cache.Engine;

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static void SetQueue(KmemCache cache, int size)
    {
        HasQueues(cache, "cpu_queue_size", size);
        Range(cache, "cpu_queue_size", size, 0, QueueMemory.MaxEntries);
        InArena(cache, "cpu_queue_size", size, cache.Magazines.Length);
        cache.Resize(size, (size + 1) / 2);
    }

    private static void SetBatch(KmemCache cache, int batch)
    {
        if (cache.QueueSize == 0)
        {
            throw Invalid(cache, "batch_size", batch, "cpu_queue_size is 0");
        }

        Range(cache, "batch_size", batch, 1, cache.QueueSize);
        cache.Resize(cache.QueueSize, batch);
    }

    private static void SetSharedQueue(KmemCache cache, int size)
    {
        SlubqEngine engine = Engine(cache);
        HasQueues(cache, "shared_queue_size", size);
        Range(cache, "shared_queue_size", size, 0, QueueMemory.MaxEntries);
        if (size > 0 && size < cache.BatchSize)
        {
            throw Invalid(cache, "shared_queue_size", size, $"it must hold a batch ({cache.BatchSize}), or be 0");
        }

        InArena(cache, "shared_queue_size", size, engine.Nodes.Length);
        engine.Resize(size, engine.AlienSize);
    }

    private static void SetAlienQueue(KmemCache cache, int size)
    {
        SlubqEngine engine = Engine(cache);
        int nodes = engine.Nodes.Length;
        HasQueues(cache, "alien_queue_size", size);
        if (nodes == 1)
        {
            throw Invalid(cache, "alien_queue_size", size, "there is one memory node");
        }

        Range(cache, "alien_queue_size", size, 0, QueueMemory.MaxEntries);
        InArena(cache, "alien_queue_size", size, nodes * (nodes - 1));
        engine.Resize(engine.SharedSize, size);
    }

    private static void SetMinPartial(KmemCache cache, int slabs)
    {
        Range(cache, "min_partial", slabs, 0, MaxMinPartial);
        Engine(cache).MinPartial = slabs;
        foreach (SlubqNode node in Engine(cache).Nodes)
        {
            _ = node.FreeEmpty(slabs);
        }
    }

    private static void Trigger(string name, KmemCache cache, int value, Action<KmemCache> action)
    {
        if (value != 1)
        {
            throw Invalid(cache, name, value, "writing 1 does it");
        }

        action(cache);
    }

    private static void HasQueues(KmemCache cache, string name, int value)
    {
        if ((cache.Engine.Flags & KmemCacheFlags.NoMagazine) != 0)
        {
            throw Invalid(cache, name, value, "the cache was made without queues");
        }
    }

    private static void Range(KmemCache cache, string name, int value, int least, int most)
    {
        if (value < least || value > most)
        {
            throw Invalid(cache, name, value, $"{least} to {most} is possible");
        }
    }

    private static void InArena(KmemCache cache, string name, long size, int queues)
    {
        long most = KmemSystem.Current.ArenaBytes / ArenaShare / queues / cache.ObjectSize;
        if (size > most)
        {
            throw Invalid(cache, name, size, $"{queues} queues of so many objects of {cache.ObjectSize} bytes are more than 1/{ArenaShare} of the arena; at most {most}");
        }
    }

    private static KmemTunableException Invalid(KmemCache cache, string name, long value, string why) =>
        new(KmemTunableException.Einval, $"{cache.Name}: {name}={Text(value)}: {why}");

    private static long Sum(SlubqEngine engine, Func<SlubqNode, int> figure)
    {
        long sum = 0;
        foreach (SlubqNode node in engine.Nodes)
        {
            sum += figure(node);
        }

        return sum;
    }

    private static string PerCpu(KmemCache cache)
    {
        var text = new StringBuilder();
        long sum = 0;
        for (int cpu = 0; cpu < cache.Magazines.Length; cpu++)
        {
            int count = cache.Magazines[cpu].Count;
            sum += count;
            text.Append(CultureInfo.InvariantCulture, $" C{cpu}={count}");
        }

        return Text(sum) + text;
    }

    private static string Shared(SlubqEngine engine)
    {
        var text = new StringBuilder();
        foreach (SlubqNode node in engine.Nodes)
        {
            text.Append(CultureInfo.InvariantCulture, $" N{node.Index}={node.Shared.Count}");
        }

        return Text(Sum(engine, static n => n.Shared.Count)) + text;
    }

    private static string Aliens(SlubqEngine engine)
    {
        var text = new StringBuilder();
        foreach (SlubqNode node in engine.Nodes)
        {
            for (int i = 0; i < node.Aliens.Length; i++)
            {
                if (i != node.Index)
                {
                    text.Append(CultureInfo.InvariantCulture, $" N{node.Index}>N{i}={node.Aliens[i].Count}");
                }
            }
        }

        return Text(Sum(engine, static n => n.Aliens.Sum(static a => a.Count))) + text;
    }
}
