using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// Memory for what describes caches: the arrays of their queues. It comes from bootstrap caches, which have no queues themselves
/// and so need nothing to begin with. A queue gets its array when it is first used, and works without one while memory is short.
/// </summary>
internal sealed unsafe class QueueMemory
{
    /// <summary>The most objects that a queue may hold.</summary>
    internal const int MaxEntries = 1024;

    private static readonly int[] s_entries = [16, 64, 128, 512, MaxEntries];

    private readonly KmemSystem _system;
    private readonly KmemCache[] _caches = new KmemCache[s_entries.Length];

    internal QueueMemory(KmemSystem system)
    {
        _system = system;
        for (int i = 0; i < s_entries.Length; i++)
        {
            _caches[i] = system.Caches.Create(
                $"kmem_queue-{s_entries[i]}",
                s_entries[i] * sizeof(byte*),
                8,
                null,
                null,
                KmemCacheFlags.NoMagazine | KmemCacheFlags.Slab | KmemCacheFlags.NoDebug);
        }
    }

    /// <summary>An array for so many objects. Null if memory is short and the flags don't let it wait.</summary>
    internal byte** Alloc(int entries, KmFlags flags)
    {
        if ((flags & KmFlags.NoSleep) != 0 && _system.Pages.FreePages <= _system.Pages.Marks.Low)
        {
            return null;
        }

        return (byte**)CacheFor(entries).Alloc(flags);
    }

    /// <summary>Takes an array back.</summary>
    internal void Free(byte** array, int entries) => CacheFor(entries).Free((byte*)array);

    /// <summary>Is this the name of one of the bootstrap caches?</summary>
    internal bool IsOwn(string cache) => Array.Exists(_caches, c => string.Equals(c.Name, cache, StringComparison.Ordinal));

    /// <summary>Pages of the bootstrap caches.</summary>
    internal long Pages
    {
        get
        {
            long bytes = 0;
            foreach (KmemCache cache in _caches)
            {
                bytes += cache.Engine.Statistics().Bytes;
            }

            return bytes >> ArenaMapping.PageShift;
        }
    }

    private KmemCache CacheFor(int entries)
    {
        int i = 0;
        while (s_entries[i] < entries)
        {
            i++;
        }

        return _caches[i];
    }
}
