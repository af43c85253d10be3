using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <summary>What the model knows of one of its threads.</summary>
internal sealed class SlabActor(int me, SeededRandom rng)
{
    internal int Me => me;

    internal SeededRandom Rng => rng;

    internal Kthread? Thread { get; set; }

    /// <summary>Objects that it holds.</summary>
    internal List<nint> Mine { get; } = [];

    /// <summary>It is inside an allocation.</summary>
    internal bool IsAllocating { get; set; }

    /// <summary>The allocation it is inside must not wait.</summary>
    internal bool MustNotWait { get; set; }

    /// <summary>The last pages it has taken from below min as PF_MEMALLOC, and how many its node had got back by then.</summary>
    internal (int Page, MemoryNode Node, long Freed)? Lent { get; set; }

    /// <summary>How far down it may go.</summary>
    internal SlabRight Right { get; set; }

    /// <summary>How far down, while it forgoes what PF_MEMALLOC may.</summary>
    internal SlabRight LesserRight { get; set; }
}
