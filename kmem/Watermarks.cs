namespace ZfsLite.Kmem;

/// <summary>The watermarks of a node, in pages, as Linux computes them.</summary>
/// <param name="Min">Below it ordinary allocations reclaim for themselves.</param>
/// <param name="Low">Below it kswapd wakes.</param>
/// <param name="High">Kswapd works until this much is free.</param>
public readonly record struct Watermarks(int Min, int Low, int High)
{
    /// <summary>min = sqrt(16 × size in KiB) KiB, from 128 KiB to 64 MiB, or what is given; low = 5/4 min, high = 3/2 min.</summary>
    /// <param name="arenaPages">Pages of the node.</param>
    /// <param name="minFreeBytes">Min in bytes; 0: computed.</param>
    public static Watermarks Compute(int arenaPages, long minFreeBytes)
    {
        long min;
        if (minFreeBytes > 0)
        {
            min = (minFreeBytes + ArenaMapping.PageSize - 1) / ArenaMapping.PageSize;
            if (min > arenaPages / 4)
            {
                throw new ArgumentException($"a min watermark of {min} pages is more than a quarter of the arena ({arenaPages} pages)", nameof(minFreeBytes));
            }
        }
        else
        {
            long kib = (long)arenaPages * (ArenaMapping.PageSize / 1024);
            min = Math.Clamp((long)Math.Sqrt(kib * 16.0), 128, 65536) / (ArenaMapping.PageSize / 1024);
        }

        return new Watermarks((int)min, (int)(min * 5 / 4), (int)(min * 3 / 2));
    }

    /// <summary>The part of them that falls to a node with so many of the arena's pages.</summary>
    internal Watermarks Share(int pages, int arenaPages) => new(
        (int)((long)Min * pages / arenaPages),
        (int)((long)Low * pages / arenaPages),
        (int)((long)High * pages / arenaPages));
}
