namespace ZfsLite.Kmem;

/// <summary>The caches behind kmem_alloc: powers of two from 8 to 8192 bytes, and 96 and 192 between them.</summary>
internal sealed class KmallocCaches
{
    /// <summary>Largest size that comes from a cache.</summary>
    internal const long MaxSize = 8192;

    private static readonly int[] s_sizes = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192];

    private readonly KmemCache[] _bySize = new KmemCache[(MaxSize / 8) + 1];

    internal KmallocCaches(KmemSystem system)
    {
        int unit = 0;
        foreach (int size in s_sizes)
        {
            KmemCache cache = KmemCache.CreateIn(system, $"kmalloc-{size}", size, 8, null, null, KmemCacheFlags.Slab);
            for (; unit <= size / 8; unit++)
            {
                _bySize[unit] = cache;
            }
        }
    }

    /// <summary>The cache for a size from 1 to <see cref="MaxSize"/>.</summary>
    internal KmemCache For(long size) => _bySize[(size + 7) >> 3];
}
