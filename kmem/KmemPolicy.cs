namespace ZfsLite.Kmem;

/// <summary>
/// The named sets of choices of the allocator's history, in the order of the years. What a policy does to the masks of allocations
/// is in <see cref="Gfp"/>, how the slab caches of the SPL engine grow under it in <c>SplEngine</c>.
/// </summary>
public enum KmemPolicy
{
    /// <summary>2011: no marks; any sleeping allocation may run every shrinker.</summary>
    None,

    /// <summary>2012: KM_PUSHPAGE (reserve, no IO, no FS) by hand at call sites; caches grow on the first caller's flags.</summary>
    PushPage,

    /// <summary>2012: as pushpage; who waits too long for a mapped slab gets an emergency object.</summary>
    Emergency,

    /// <summary>2014: marks tied to the transaction, as first proposed; emergency objects for every kind of cache.</summary>
    TxCookie,

    /// <summary>The default: entry points and worker threads marked, the growth worker among them; reserves for those that others
    /// wait for.</summary>
    Fstrans,
}
