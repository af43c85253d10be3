namespace ZfsLite.Kmem;

/// <summary>How one attribute of a cache is read and set.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Read">Null: it can only be written.</param>
/// <param name="Write">Null: it can only be read. Called under the cache's tuning lock.</param>
/// <param name="OfSlabs">It is of the SLUB+Q engine's slabs, and caches of another engine don't have it.</param>
internal sealed record SlubqTunable(string Name, Func<KmemCache, string>? Read, Action<KmemCache, int>? Write, bool OfSlabs)
{
    /// <summary>Does a cache have it?</summary>
    internal bool IsFor(KmemCache cache) => !OfSlabs || cache.Engine is SlubqEngine;
}
