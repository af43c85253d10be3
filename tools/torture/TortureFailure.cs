namespace ZfsLite.Torture;

/// <summary>A schedule that did not hold.</summary>
/// <param name="Engine">The engine.</param>
/// <param name="Seed">First seed to replay; the last, unless it takes several.</param>
/// <param name="Schedules">How many seeds to replay, one after the other: more than one for a lock-order violation, which rests on them all.</param>
/// <param name="Text">What was seen; equal in a replay.</param>
internal sealed record TortureFailure(string Engine, ulong Seed, long Schedules, string Text)
{
    /// <summary>What to type.</summary>
    public string Command => Engine == TortureSettings.Crash
        ? $"./fuse-test.sh torture crash --seed {Seed} --schedules {Schedules}"
        : ImagePools.Names.Contains(Engine)
        ? $"./fuse-test.sh torture images --pool {Engine} --seed {Seed} --images {Schedules}"
        : $"./fuse-test.sh torture kmem --engine {Engine} --seed {Seed} --schedules {Schedules}";
}
