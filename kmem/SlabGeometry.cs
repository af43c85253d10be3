namespace ZfsLite.Kmem;

/// <summary>How a cache cuts pages into objects: a full slab takes at most an eighth more than its objects, from 64 bytes up.</summary>
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

        // The smallest slab that is good enough; if the alignment alone costs more than an eighth, the one that adds least.
        int minObjects = Stride < ArenaMapping.PageSize ? MinObjects : 1;
        double best = double.MaxValue;
        for (int pages = MinPages; pages <= MaxSlabPages; pages++)
        {
            int bytes = pages * ArenaMapping.PageSize;
            int objects = bytes / Stride;
            double cost = (double)bytes / ((long)objects * size);
            if (objects >= minObjects && cost < best)
            {
                best = cost;
                Pages = pages;
                if (cost <= 1.125)
                {
                    return;
                }
            }
        }
    }

    /// <summary>Objects in a slab of so many pages.</summary>
    internal int ObjectsIn(int pages) => Stride >= BigObject ? 1 : pages * ArenaMapping.PageSize / Stride;

    /// <summary>Objects that a queue holds: the sizes of SLUB+Q, and no more than 1/512 of the arena over all CPUs.</summary>
    internal int QueueSize(long arenaBytes, int cpus)
    {
        int size = Stride switch
        {
            > ArenaMapping.PageSize => 8,
            > 1024 => 24,
            > 256 => 54,
            _ => 120,
        };
        return (int)Math.Min(size, arenaBytes / 512 / cpus / Stride);
    }

    private static int PagesFor(int bytes) => (bytes + ArenaMapping.PageSize - 1) >> ArenaMapping.PageShift;
}
