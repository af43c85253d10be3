using System.Runtime.CompilerServices;

namespace ZfsLite.Kmem;

/// <summary>The caches behind kmem_alloc: powers of two from 8 to 16384 bytes, and 96, 192 and 12288 between them.</summary>
internal sealed class KmallocCaches
{
    /// <summary>Largest size that comes from a cache.</summary>
    internal const long MaxSize = 16384;

    private static readonly int[] s_sizes = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 12288, (int)MaxSize];

    /// <summary>Those of the system in force, by the size in units of 8 bytes, rounded up; none for 0. Empty: no system is in force.</summary>
    private static KmemCache?[] s_current = [];

    private readonly KmemCache?[] _bySize = new KmemCache?[(MaxSize / 8) + 1];

    internal KmallocCaches(KmemSystem system)
    {
        int unit = 1;
        foreach (int size in s_sizes)
        {
            KmemCache cache = Create(system, size);
            for (; unit <= size / 8; unit++)
            {
                _bySize[unit] = cache;
            }
        }
    }

    /// <summary>The cache for a size from 1 to <see cref="MaxSize"/>.</summary>
    internal KmemCache For(long size) => _bySize[(size + 7) >> 3]!;

    /// <summary>That of the system in force for a size up to <see cref="MaxSize"/>; null: for another size, or there is no system.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static KmemCache? Current(long size)
    {
        KmemCache?[] caches = s_current;
        ulong unit = (ulong)(size + 7) >> 3;
        return unit < (ulong)caches.Length ? caches[unit] : null;
    }

    /// <summary>The system they belong to comes into force, or (null) ends.</summary>
    internal static void SetCurrent(KmallocCaches? caches) => s_current = caches?._bySize ?? [];

    private static KmemCache Create(KmemSystem system, int size) =>
        KmemCache.CreateIn(system, $"kmalloc-{size}", size, (size & (size - 1)) == 0 ? Math.Clamp(size, 8, (int)ArenaMapping.PageSize) : 8, null, null, KmemCacheFlags.Slab);
}
