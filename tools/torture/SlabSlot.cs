using ZfsLite.Kmem;

namespace ZfsLite.Torture;

/// <summary>A cache under test, and the model's own books of it.</summary>
internal sealed class SlabSlot(int number, SlabPlan.CacheSpec spec)
{
    internal int Number => number;

    internal SlabPlan.CacheSpec Spec => spec;

    internal KmemCache Cache { get; set; } = null!;

    internal long Allocs { get; set; }

    internal long Frees { get; set; }

    internal long Failures { get; set; }

    internal long Constructed { get; set; }

    internal long Destructed { get; set; }

    /// <summary>Objects that nobody holds: any thread, and the reclaim callback, may give them back.</summary>
    internal List<nint> PassedOn { get; } = [];

    internal bool HasHooks => spec.Hooks == 0;
}
