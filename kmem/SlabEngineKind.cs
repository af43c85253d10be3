namespace ZfsLite.Kmem;

/// <summary>Which engine makes the slabs of caches.</summary>
public enum SlabEngineKind
{
    /// <summary>SLUB+Q: bitmaps, free objects untouched. The default.</summary>
    Slubq,

    /// <summary>The allocator of the Solaris Porting Layer: growth in a worker, emergency objects. Caches of small objects stay
    /// with SLUB+Q, as Linux's own slabs served them (<see cref="SplEngineOptions.SlabLimit"/>).</summary>
    Spl,
}
