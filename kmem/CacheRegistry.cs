using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// All caches of a system, and the engines behind them. Its lock is held while a cache is made or ends, so that these exclude
/// each other and no two threads give the same name; and while caches are reaped, so that none ends meanwhile.
/// <para>
/// Merging. Caches of one stride that nothing tells apart (no constructor, destructor, flag or poison) share their slabs: the second
/// is a handle with queues of its own on the engine of the first, and is listed as its alias. SLUB shares the queues too; here they are
/// separate, because what a queue counts is counted without a check, and so every name keeps exact figures of its own: objects
/// live, leaked, allocated, freed. Slabs and their bytes are figures of the engine, and are shown with its first cache alone.
/// The price: an object freed to the wrong one of two merged caches is not found out, as in Linux.
/// </para>
/// <para>
/// A name that is taken can be had again only for an equal cache (another pool's dnode_t), which then shares the engine even
/// where merging is off.
/// </para>
/// </summary>
internal sealed class CacheRegistry(KmemSystem system)
{
    private const int IdStep = 16;

    private readonly Kmutex _lock = new("kmem_caches");
    private readonly List<SlabEngine> _engines = [];
    private int _nextId = IdStep;

    /// <summary>Makes a cache, on slabs of its own or of an equal one.</summary>
    internal KmemCache Create(
        string name,
        int size,
        int align,
        KmemObjectAction? constructor,
        KmemObjectAction? destructor,
        KmemCacheFlags flags,
        Action? reclaim = null)
    {
        _lock.Enter();
        try
        {
            bool plain = constructor is null && destructor is null && reclaim is null;
            SlabDebug? debug = Watch(name, size, align, flags);
            bool host = system.Options.SlabEngine != SlabEngineKind.Spl || IsHosts(size, flags);
            flags &= ~KmemCacheFlags.Slab;
            SlabEngine? engine = FindNamed(name, size, align, plain, flags) ?? (plain && host && debug is null ? FindMergeable(size, align, flags) : null);
            if (engine is null)
            {
                engine = host
                    ? new SlubqEngine(system, name, debug?.EngineSize ?? size, align, flags, plain && debug is null) { Id = _nextId, JunksNewSlabs = debug is not null }
                    : new SplEngine(system, name, debug?.EngineSize ?? size, align, flags, constructor, destructor) { Id = _nextId, JunksNewSlabs = debug is not null };
                _nextId += IdStep;
                _engines.Add(engine);
            }

            var cache = new KmemCache(system, engine, name, size, align, constructor, destructor, reclaim, debug);
            engine.Caches.Add(cache);
            return cache;
        }
        finally
        {
            _lock.Exit();
        }
    }

    /// <summary>Takes a cache out, whose queues are empty.</summary>
    /// <returns>Its engine, if this was the last cache on it: the caller closes it.</returns>
    internal SlabEngine? Remove(KmemCache cache)
    {
        _lock.Enter();
        SlabEngine engine = cache.Engine;
        engine.Caches.Remove(cache);
        bool last = engine.Caches.Count == 0;
        if (last)
        {
            _engines.Remove(engine);
        }

        _lock.Exit();
        return last ? engine : null;
    }

    /// <summary>The cache of a name, or null.</summary>
    internal KmemCache? Find(string name)
    {
        _lock.Enter();
        KmemCache? cache = FindLocked(name);
        _lock.Exit();
        return cache;
    }

    /// <summary>Runs an action on every cache; none ends meanwhile. False: another thread has the lock.</summary>
    internal bool TryForEach(Action<KmemCache> action)
    {
        if (!_lock.TryEnter())
        {
            return false;
        }

        foreach (SlabEngine engine in _engines)
        {
            engine.Caches.ForEach(action);
        }

        _lock.Exit();
        return true;
    }

    /// <summary>Empties all queues and gives back all empty slabs, unless another thread is at it.</summary>
    internal void Reap() => _ = TryForEach(static cache => cache.Drain());

    /// <summary>
    /// Reclaim asks for pages. Each engine goes from what costs least to what costs most: empty slabs, objects on the way to another
    /// node, shared queues, queues of virtual CPUs; and stops at the first of these that gives pages back.
    /// </summary>
    /// <returns>Did pages come back?</returns>
    internal bool Expire()
    {
        if (!_lock.TryEnter())
        {
            return false;
        }

        long before = system.Pages.FreedPages;
        foreach (SlabEngine engine in _engines)
        {
            long freed = system.Pages.FreedPages;
            engine.Expire();
            if (system.Pages.FreedPages != freed)
            {
                continue;
            }

            bool flushed = false;
            foreach (KmemCache cache in engine.Caches)
            {
                flushed |= cache.FlushForReclaim();
            }

            if (flushed)
            {
                engine.Shrink();
            }
        }

        _lock.Exit();
        return system.Pages.FreedPages != before;
    }

    /// <summary>The system ends, and its memory with it: whoever still has a cache finds it empty.</summary>
    internal void Forget()
    {
        foreach (SlabEngine engine in _engines)
        {
            engine.Caches.ForEach(static cache => cache.Forget());
        }
    }

    /// <summary>The figures of all caches, in the order of creation, merged ones after the one they share slabs with.</summary>
    internal List<KmemCacheStats> Statistics()
    {
        var list = new List<KmemCacheStats>();
        _lock.Enter();
        foreach (SlabEngine engine in _engines)
        {
            foreach (KmemCache cache in engine.Caches)
            {
                list.Add(cache.StatisticsLocked());
            }
        }

        _lock.Exit();
        return list;
    }

    /// <summary>The figures of one cache.</summary>
    internal KmemCacheStats Statistics(KmemCache cache)
    {
        _lock.Enter();
        KmemCacheStats stats = cache.StatisticsLocked();
        _lock.Exit();
        return stats;
    }

    /// <summary>The watch over a cache, if it is to be watched.</summary>
    private SlabDebug? Watch(string name, int size, int align, KmemCacheFlags flags)
    {
        SlabDebugFlags watched = (flags & KmemCacheFlags.NoDebug) != 0 ? SlabDebugFlags.None : system.Options.SlabDebug.For(name);
        watched |= system.Options.Poison ? SlabDebugFlags.Poison : SlabDebugFlags.None;
        return watched == SlabDebugFlags.None ? null : new SlabDebug(system, name, size, align, watched);
    }

    /// <summary>KMC_SLAB: with the SPL engine, what asks for none of its kinds of slabs and is no larger than its limit.</summary>
    private bool IsHosts(int size, KmemCacheFlags flags) => (flags & KmemCacheFlags.Slab) != 0
        || ((flags & (KmemCacheFlags.Kmem | KmemCacheFlags.Vmem)) == 0 && size <= system.Options.Spl.SlabLimit);

    private KmemCache? FindLocked(string name)
    {
        foreach (SlabEngine engine in _engines)
        {
            foreach (KmemCache cache in engine.Caches)
            {
                if (string.Equals(cache.Name, name, StringComparison.Ordinal))
                {
                    return cache;
                }
            }
        }

        return null;
    }

    /// <summary>The engine of a cache of this name, which must be an equal cache.</summary>
    private SlabEngine? FindNamed(string name, int size, int align, bool plain, KmemCacheFlags flags)
    {
        KmemCache? cache = FindLocked(name);
        if (cache is null)
        {
            return null;
        }

        if (!plain || cache.HasConstructor || cache.ObjectSize != size || cache.Align != align || cache.Engine.Flags != flags)
        {
            throw new InvalidOperationException(
                $"cache {name} exists already: objects of {cache.ObjectSize} bytes aligned to {cache.Align}, flags {cache.Engine.Flags}"
                + $"{(!cache.HasConstructor ? string.Empty : ", with a constructor or destructor")}; asked for: {size} bytes aligned to {align}, flags {flags}"
                + $"{(plain ? string.Empty : ", with a constructor or destructor")}");
        }

        return cache.Engine;
    }

    private SlubqEngine? FindMergeable(int size, int align, KmemCacheFlags flags)
    {
        if (!system.Options.MergeCaches || flags != KmemCacheFlags.None)
        {
            return null;
        }

        int stride = (size + align - 1) & -align;
        foreach (SlabEngine engine in _engines)
        {
            if (engine is SlubqEngine { IsMergeable: true } slubq && slubq.Stride == stride && slubq.Align % align == 0)
            {
                return slubq;
            }
        }

        return null;
    }
}
