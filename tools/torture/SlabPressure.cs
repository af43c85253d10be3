namespace ZfsLite.Torture;

/// <summary>How much memory there is in a schedule of the slab model.</summary>
internal enum SlabPressure
{
    /// <summary>Enough.</summary>
    Plenty,

    /// <summary>Down to min, and nobody gives anything back: nobody sleeps for it either.</summary>
    Short,

    /// <summary>Down to min, and a shrinker gives back: who sleeps gets memory in the end.</summary>
    Tight,

    /// <summary>Down to min, nobody gives anything back, and sleepers give up soon.</summary>
    Exhausted,
}
