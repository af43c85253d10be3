namespace ZfsLite.Kmem.Spl;

/// <summary>How the simulator picks the next thread.</summary>
public enum SimStrategy
{
    /// <summary>At each point with a given probability switch to a thread drawn uniformly.</summary>
    Random,

    /// <summary>
    /// Probabilistic concurrency testing: random thread priorities, the highest runs, and at a few random steps the running
    /// thread falls to the bottom. Finds a bug of depth d with probability at least 1/(n·k^(d-1)) for n threads and k steps.
    /// </summary>
    Pct,
}
