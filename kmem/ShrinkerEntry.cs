namespace ZfsLite.Kmem;

/// <summary>A registered shrinker. Guarded by the registry's lock, the counters excepted.</summary>
internal sealed class ShrinkerEntry(IShrinker shrinker)
{
    internal readonly IShrinker Shrinker = shrinker;

    /// <summary>Threads inside it.</summary>
    internal int Active;

    /// <summary>Unregister has begun.</summary>
    internal bool Removed;

    /// <summary>Objects that earlier passes should have scanned (nr_deferred).</summary>
    internal long Deferred;

    /// <summary>Objects freed, over all time.</summary>
    internal long Freed;

    /// <summary>Calls of Scan.</summary>
    internal long Scans;

    /// <summary>Calls that ended with Stop.</summary>
    internal long Stops;
}
