namespace ZfsLite.Kmem;

/// <summary>What an engine counts. Objects in queues per virtual CPU are out of the slabs.</summary>
internal readonly record struct SlabEngineStats
{
    internal int SlabSize { get; init; }

    internal long SlabsTotal { get; init; }

    internal long SlabsAllocated { get; init; }

    internal long SlabsMax { get; init; }

    internal long ObjectsTotal { get; init; }

    internal long ObjectsOut { get; init; }

    internal long ObjectsMax { get; init; }

    internal long Bytes { get; init; }

    internal long Refills { get; init; }

    internal long Failures { get; init; }

    /// <summary>Allocations past the queues.</summary>
    internal long Allocs { get; init; }

    /// <summary>Frees past the queues.</summary>
    internal long Frees { get; init; }
}
