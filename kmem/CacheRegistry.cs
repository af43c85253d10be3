using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>All caches of a system. Its lock is held while caches are reaped, so that none is destroyed meanwhile.</summary>
internal sealed class CacheRegistry
{
    private readonly Kmutex _lock = new("kmem_caches");
    private readonly List<KmemCache?> _caches = [];

    /// <summary>Adds a cache.</summary>
    /// <returns>Its number.</returns>
    internal int Add(KmemCache cache)
    {
        _lock.Enter();
        int id = _caches.Count;
        _caches.Add(cache);
        _lock.Exit();
        return id;
    }

    /// <summary>Takes a cache out. Its number is not used again: a page that still names it would be found out.</summary>
    internal void Remove(KmemCache cache)
    {
        _lock.Enter();
        _caches[cache.Id] = null;
        _lock.Exit();
    }

    /// <summary>The cache of a number.</summary>
    internal KmemCache? Find(int id) => _caches[id];

    /// <summary>Drains magazines and empty slabs of every cache, unless another thread is at it.</summary>
    internal void Reap()
    {
        if (!_lock.TryEnter())
        {
            return;
        }

        foreach (KmemCache? cache in _caches)
        {
            cache?.Reap();
        }

        _lock.Exit();
    }

    /// <summary>The figures of all caches, in the order of creation.</summary>
    internal List<KmemCacheStats> Statistics()
    {
        var list = new List<KmemCacheStats>();
        _lock.Enter();
        foreach (KmemCache? cache in _caches)
        {
            if (cache is not null)
            {
                list.Add(cache.Statistics());
            }
        }

        _lock.Exit();
        return list;
    }
}
