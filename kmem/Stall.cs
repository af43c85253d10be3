namespace ZfsLite.Kmem;

/// <summary>The state of one sleeping allocation that did not get its pages at once.</summary>
internal struct Stall
{
    /// <summary>Rounds of reclaim so far.</summary>
    internal int Rounds;

    /// <summary>When it began, or 0.</summary>
    internal long StartNs;

    /// <summary>When anything was last given back by anybody.</summary>
    internal long ProgressNs;

    /// <summary>The system's count of freed pages at that time.</summary>
    internal long FreedSeen;
}
