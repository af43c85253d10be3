namespace ZfsLite.Kmem;

/// <summary>The named sets of choices of the allocator's history.</summary>
public enum KmemPolicy
{
    /// <summary>2011: no marks; any sleeping allocation may run every shrinker.</summary>
    None,

    /// <summary>2014: marks tied to the transaction, as first proposed.</summary>
    TxCookie,

    /// <summary>The default: entry points and worker threads marked, reserves for those that others wait for.</summary>
    Fstrans,
}
