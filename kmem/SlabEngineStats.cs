namespace ZfsLite.Kmem;

/// <summary>What an engine counts. Objects in queues are out of the slabs.</summary>
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

    /// <summary>Objects ready in queues of the engine.</summary>
    internal long Queued { get; init; }

    internal long Emergency { get; init; }

    internal long EmergencyMax { get; init; }

    internal long GrowthDeadlocks { get; init; }
}
