namespace ZfsLite.Kmem;

/// <summary>What is watched about the objects of a cache. Each has the letter that slub_debug gives it; L is this project's own.</summary>
[Flags]
public enum SlabDebugFlags
{
    /// <summary>Nothing: the cache pays nothing.</summary>
    None = 0,

    /// <summary>F: a free is checked: is it the start of an object of this cache, and is that allocated?</summary>
    Consistency = 0x1,

    /// <summary>Z: bytes before and behind an object, checked when it changes hands.</summary>
    RedZone = 0x2,

    /// <summary>P: a freed object is filled with junk, which is checked when it is allocated anew; and so is memory not yet written.</summary>
    Poison = 0x4,

    /// <summary>U: call site, thread and time of the last allocation and the last free of every object, for reports.</summary>
    Owner = 0x8,

    /// <summary>T: every allocation and free is reported, to <see cref="KmemOptions.Warn"/>.</summary>
    Trace = 0x10,

    /// <summary>L: every live allocation is listed with its size and call site.</summary>
    Leaks = 0x20,

    /// <summary>A: allocations may fail by order (<see cref="Failslab"/>).</summary>
    Failslab = 0x40,

    /// <summary>What a list of caches without letters asks for: F, Z, P and U.</summary>
    Default = Consistency | RedZone | Poison | Owner,
}
