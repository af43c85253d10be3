namespace ZfsLite.Kmem;

/// <summary>How a cache cuts pages into objects: at most an eighth of a slab is waste.</summary>
internal readonly struct SlabGeometry
{
    private const int MaxSlabPages = 16;
    private const int MinObjects = 4;

    /// <summary>From this size on a slab is one object.</summary>
    internal const int BigObject = 32768;

    /// <summary>Bytes from one object to the next.</summary>
    internal readonly int Stride;

    /// <summary>Pages of a slab.</summary>
    internal readonly int Pages;

    /// <summary>Pages of the smallest slab that holds an object, for when memory is fragmented.</summary>
    internal readonly int MinPages;

    internal SlabGeometry(int size, int align)
    {
        Stride = (size + align - 1) & -align;
        MinPages = PagesFor(Stride);
        Pages = MinPages;
        if (Stride >= BigObject)
        {
            return;
        }

        int minObjects = Stride < ArenaMapping.PageSize ? MinObjects : 1;
        for (int pages = MinPages; pages <= MaxSlabPages; pages++)
        {
            int bytes = pages * ArenaMapping.PageSize;
            if (bytes / Stride >= minObjects && bytes % Stride <= bytes / 8)
            {
                Pages = pages;
                return;
            }
        }

        Pages = MaxSlabPages;
    }

    /// <summary>Objects in a slab of so many pages.</summary>
    internal int ObjectsIn(int pages) => Stride >= BigObject ? 1 : pages * ArenaMapping.PageSize / Stride;

    /// <summary>Objects that a magazine holds: the sizes of SPL, and no more than 1/512 of the arena over all CPUs.</summary>
    internal int MagazineSize(long arenaBytes, int cpus)
    {
        const int page = ArenaMapping.PageSize;
        int size = Stride switch
        {
            > page * 256 => 4,
            > page * 32 => 16,
            > page => 64,
            > page / 4 => 128,
            _ => 256,
        };
        return (int)Math.Min(size, arenaBytes / 512 / cpus / Stride);
    }

    private static int PagesFor(int bytes) => (bytes + ArenaMapping.PageSize - 1) >> ArenaMapping.PageShift;
}
