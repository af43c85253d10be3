using ZfsLite.Kmem;

namespace ZfsLite.Lab;

/// <summary>What a race between slab growth, locks and transactions runs with.</summary>
internal sealed record RaceOptions
{
    /// <summary>growth-race, or held-lock.</summary>
    public string Scenario { get; init; } = "growth-race";

    /// <summary>The policy under test.</summary>
    public KmemPolicy Policy { get; init; } = KmemPolicy.Fstrans;

    /// <summary>Seed of the schedule.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>growth-race: the slabs are mapped (KMC_VMEM), or contiguous (KMC_KMEM).</summary>
    public bool Mapped { get; init; } = true;

    /// <summary>held-lock: under fstrans, readers that hold the lock ask for the reserve, as whoever is waited for should.</summary>
    public bool Reserve { get; init; } = true;
}
