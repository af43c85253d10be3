using ZfsLite.Kmem;

namespace ZfsLite.Torture;

/// <summary>What the seed of a schedule decides before anything runs: the memory, the engine's tunables, the caches.</summary>
internal sealed class SlabPlan
{
    private static readonly int[] s_sizes = [64, 512, 2048, 5000, 20480];

    internal SlabPlan(SeededRandom rng, SlabEngineKind engine)
    {
        Engine = engine;
        Nodes = 1 + rng.Next(3);
        Merge = rng.OneIn(2);
        Policy = rng.Next(4) != 0 ? KmemPolicy.Fstrans : (KmemPolicy)rng.Next(5);
        Pressure = rng.Pick(SlabPressure.Plenty, SlabPressure.Plenty, SlabPressure.Short, SlabPressure.Short, SlabPressure.Tight, SlabPressure.Exhausted);
        IsSlow = Pressure == SlabPressure.Tight && rng.OneIn(3);
        HasReaper = rng.OneIn(2);
        Debug = rng.OneIn(8) ? rng.Pick("F", "Z", "FZU", "L", "FZUL") + ",model0,short*" : "-";
        TortureReclaim = rng.OneIn(8) ? 1 + rng.Next(3) : 0;
        Spl = new SplEngineOptions
        {
            SlabLimit = rng.OneIn(4) ? 16384 : 0,
            MagazineSize = rng.Pick(0, 2, 4, 8),
            Expire = rng.Pick(SplExpire.Mem, SplExpire.Mem, SplExpire.Age, SplExpire.None),
            ReclaimOnce = rng.OneIn(4),
            GrowthThreads = rng.Pick(1, 2, 4),
            GrowTimeoutNs = rng.Pick(100_000_000, 100_000_000, 1_000_000, 5_000),
        };
        int size = rng.Pick(s_sizes);
        Caches = [.. Enumerable.Range(0, 2).Select(i => new CacheSpec($"model{i}", i == 0 || rng.OneIn(2) ? size : rng.Pick(s_sizes), Kind(rng), rng.Next(5)))];

        // Junk in every byte is dear: for small objects only.
        Poison = rng.OneIn(6) && Array.TrueForAll(Caches, static c => c.Size <= 2048);
    }

    /// <summary>A cache as the plan has it.</summary>
    /// <param name="Name">Its name.</param>
    /// <param name="Size">Bytes of an object.</param>
    /// <param name="Flags">KMC_* flags.</param>
    /// <param name="Hooks">0: with constructor and destructor; 1: with a callback for reclaim; others: plain.</param>
    internal sealed record CacheSpec(string Name, int Size, KmemCacheFlags Flags, int Hooks);

    internal SlabEngineKind Engine { get; }

    internal int Nodes { get; }

    internal bool Merge { get; }

    internal bool Poison { get; }

    internal KmemPolicy Policy { get; }

    internal SlabPressure Pressure { get; }

    /// <summary>The shrinker takes its time.</summary>
    internal bool IsSlow { get; }

    /// <summary>A thread does nothing but reap.</summary>
    internal bool HasReaper { get; }

    /// <summary>Which caches are watched, as <see cref="SlabDebugSpec"/> reads it.</summary>
    internal string Debug { get; }

    /// <summary>One in so many unmarked sleeping allocations runs the shrinkers; 0: none does.</summary>
    internal int TortureReclaim { get; }

    internal SplEngineOptions Spl { get; }

    internal CacheSpec[] Caches { get; }

    /// <summary>May a sleeping allocation throw? Emergency objects of the old policies need contiguous pages, and give up without.</summary>
    internal bool MayGiveUp => Pressure == SlabPressure.Exhausted || (Engine == SlabEngineKind.Spl && Policy is KmemPolicy.Emergency or KmemPolicy.TxCookie);

    internal KmemOptions Options() => new()
    {
        ArenaBytes = KmemOptions.MinArenaBytes,
        Policy = Policy,
        Poison = Poison,
        TortureReclaim = TortureReclaim,
        SlabDebug = SlabDebugSpec.Parse(Debug),
        OomTimeoutNs = Pressure == SlabPressure.Exhausted ? 30_000_000 : 20_000_000_000,
        LockArena = false,
        MergeCaches = Merge,
        Nodes = Nodes,
        SlabEngine = Engine,
        Spl = Spl,
    };

    internal KmemCacheFlags Kind(SeededRandom rng)
    {
        KmemCacheFlags rare = rng.OneIn(8) ? KmemCacheFlags.NoMagazine : KmemCacheFlags.None;
        if (Engine == SlabEngineKind.Slubq)
        {
            return rare | (rng.OneIn(6) ? KmemCacheFlags.Vmem : KmemCacheFlags.None);
        }

        rare |= (rng.OneIn(6) ? KmemCacheFlags.OffSlab : 0) | (rng.OneIn(6) ? KmemCacheFlags.NoEmergency : 0);
        return rare | rng.Pick(KmemCacheFlags.Kmem, KmemCacheFlags.Kmem, KmemCacheFlags.Vmem, KmemCacheFlags.None);
    }
}
