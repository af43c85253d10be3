namespace ZfsLite.Cli;

/// <summary>A line of the slab table of <c>kmem</c>.</summary>
public sealed class SlabRow
{
    /// <summary>Name of the cache.</summary>
    public string Cache { get; set; } = "";

    /// <summary>The engine that makes its slabs.</summary>
    public string Engine { get; set; } = "";

    /// <summary>Bytes of one object.</summary>
    public long ObjectSize { get; set; }

    /// <summary>Objects handed out now.</summary>
    public long Active { get; set; }

    /// <summary>Objects that the slabs have room for.</summary>
    public long Objects { get; set; }

    /// <summary>The cache whose slabs it shares, and which shows them; null: its own.</summary>
    public string? SharesSlabsOf { get; set; }

    /// <summary>Slabs.</summary>
    public long Slabs { get; set; }

    /// <summary>Bytes of arena taken by the slabs.</summary>
    public long Bytes { get; set; }

    /// <summary>Allocations so far.</summary>
    public long Allocations { get; set; }

    /// <summary>Allocations that failed (KM_NOSLEEP).</summary>
    public long Failures { get; set; }
}
