namespace ZfsLite.Cli;

/// <summary>What <c>kmem</c> shows of the arena.</summary>
public sealed class KmemInfo
{
    /// <summary>Size of the arena, bytes.</summary>
    public long Arena { get; set; }

    /// <summary>Free bytes.</summary>
    public long Free { get; set; }

    /// <summary>Watermark min, bytes: below it callers reclaim themselves.</summary>
    public long Min { get; set; }

    /// <summary>Watermark low, bytes: below it kswapd wakes.</summary>
    public long Low { get; set; }

    /// <summary>Watermark high, bytes: kswapd sleeps again.</summary>
    public long High { get; set; }

    /// <summary>Memory policy.</summary>
    public string Policy { get; set; } = "";

    /// <summary>Engine of slab caches.</summary>
    public string SlabEngine { get; set; } = "";

    /// <summary>With engine spl: the size of objects, bytes, up to which SLUB+Q serves a cache all the same; null with slubq.</summary>
    public int? SplSlabLimit { get; set; }

    /// <summary>Resident memory of the process (Pss), bytes; 0 if unknown.</summary>
    public long Pss { get; set; }

    /// <summary>Counters of the policy and of reclaim, by name.</summary>
    public SortedDictionary<string, long> Counters { get; set; } = new(StringComparer.Ordinal);

    /// <summary>The slab table.</summary>
    public List<SlabRow> Caches { get; set; } = [];

    /// <summary>The memory pools.</summary>
    public List<MempoolRow> Mempools { get; set; } = [];
}
