using ZfsLite.Kmem;

namespace ZfsLite.Lab;

/// <summary>What a scenario runs with. Equal options and an equal seed give an equal run on the simulator.</summary>
internal sealed record ScenarioOptions
{
    /// <summary>The policy under test.</summary>
    public KmemPolicy Policy { get; init; } = KmemPolicy.Fstrans;

    /// <summary>Seed of the schedule.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Threads that write.</summary>
    public int Writers { get; init; } = 4;

    /// <summary>Threads that read, and so leave znodes with a dirty atime behind.</summary>
    public int Readers { get; init; } = 2;

    /// <summary>Writes per writer.</summary>
    public int WritesEach { get; init; } = 14;

    /// <summary>Reads per reader.</summary>
    public int ReadsEach { get; init; } = 24;

    /// <summary>Files read before the threads start: the arena is nearly full of dirty atimes then.</summary>
    public int Warmup { get; init; } = 104;

    /// <summary>Files that are read.</summary>
    public int Files { get; init; } = 240;

    /// <summary>Bytes of a record.</summary>
    public int RecordBytes { get; init; } = 128 << 10;

    /// <summary>The arena, bytes.</summary>
    public long ArenaBytes { get; init; } = 16 << 20;

    /// <summary>The dirty limit, bytes.</summary>
    public long DirtyMaxBytes { get; init; } = 2 << 20;

    /// <summary>How long the disk takes for a record, nanoseconds.</summary>
    public long DiskNs { get; init; } = 1_000_000;

    /// <summary>Every Nth unmarked sleeping allocation runs the shrinkers; 0: never.</summary>
    public int Torture { get; init; }
}
