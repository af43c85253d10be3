namespace ZfsLite.Bench.Kmem;

/// <summary>What becomes of objects that are freed while memory is wanted.</summary>
public enum ReapForm
{
    /// <summary>The SPL engine before October 2014: objects are constructed with their slab and destructed with it, a reap looks at every
    /// partial slab, and what is in magazines goes back after 15 s.</summary>
    Historical,

    /// <summary>The SPL engine of today: constructed at each allocation, destructed at each free; an empty slab goes at once, a reap
    /// takes the magazine along.</summary>
    Spl,

    /// <summary>The SLUB+Q engine: the same life of objects, queues without a clock.</summary>
    Slubq,
}
