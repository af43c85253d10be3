namespace ZfsLite.Kmem;

/// <summary>What a policy says about the growth of one cache: the table in <see cref="SplEngine"/>.</summary>
internal readonly struct SplEngineRules
{
    /// <summary>A slab is made by a worker, for all who wait; otherwise by each caller for itself.</summary>
    internal readonly bool InWorker;

    /// <summary>Waits for a growth have a limit, and an emergency object behind it.</summary>
    internal readonly bool Emergency;

    /// <summary>The order of the end of history: inline without sleeping first, marked worker, no waiting in reclaim, mapped emergency objects.</summary>
    internal readonly bool Final;

    internal SplEngineRules(KmemPolicy policy, bool mapped, KmemCacheFlags flags)
    {
        Final = policy == KmemPolicy.Fstrans;
        InWorker = policy != KmemPolicy.None;
        Emergency = policy switch
        {
            KmemPolicy.Emergency => mapped && (flags & KmemCacheFlags.NoEmergency) == 0,
            KmemPolicy.TxCookie or KmemPolicy.Fstrans => true,
            _ => false,
        };
    }
}
