namespace ZfsLite.Stress;

/// <summary>What a run was asked for.</summary>
internal sealed class StressSettings
{
    internal required string Zfslite { get; init; }
    internal required TimeSpan Duration { get; init; }
    internal required int Seed { get; init; }
    internal required int Workers { get; init; }
    internal required string Directory { get; init; }

    internal string Image => Path.Combine(Directory, "pool", "stress.img");
    internal string Mount => Path.Combine(Directory, "mnt");
}
