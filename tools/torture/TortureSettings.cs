using ZfsLite.Kmem;

namespace ZfsLite.Torture;

/// <summary>What a run was asked for.</summary>
internal sealed record TortureSettings
{
    /// <summary>Engines under test: each seed is run on each of them.</summary>
    public required IReadOnlyList<SlabEngineKind> Engines { get; init; }

    /// <summary>First seed.</summary>
    public required ulong FirstSeed { get; init; }

    /// <summary>Schedules in all; null: until the time is up.</summary>
    public required long? Schedules { get; init; }

    /// <summary>How long at most; null: as long as it takes.</summary>
    public TimeSpan? Time { get; init; }

    /// <summary>Where the state is kept.</summary>
    public required string StateFile { get; init; }

    /// <summary>Goes on where the state ends.</summary>
    public bool Resume { get; init; }

    /// <summary>Processes at once.</summary>
    public required int Workers { get; init; }

    /// <summary>For tests: a fault to plant, and the seed to plant it in.</summary>
    public SlabFault Plant { get; init; }

    /// <summary>The seed.</summary>
    public ulong PlantSeed { get; init; }

    /// <summary>The seed behind the last one, rounded up to whole seeds.</summary>
    public ulong EndSeed => Schedules is { } n ? FirstSeed + (ulong)((n + Engines.Count - 1) / Engines.Count) : ulong.MaxValue;
}
