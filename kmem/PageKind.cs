namespace ZfsLite.Kmem;

/// <summary>What a page of the index space is.</summary>
internal enum PageKind : byte
{
    /// <summary>Inside a larger block, or in no use at all.</summary>
    None,

    /// <summary>First page of a free buddy block.</summary>
    Free,

    /// <summary>First page of an allocation made straight from the pages.</summary>
    Large,

    /// <summary>Page of a slab; <see cref="PageDesc.Head"/> is its first page.</summary>
    Slab,

    /// <summary>First page of an emergency object of the SPL engine.</summary>
    Emergency,

    /// <summary>First arena page of a run that is mapped in the vmalloc window.</summary>
    VmallocRun,

    /// <summary>A page of page tables that a vmalloc mapping is charged with.</summary>
    PageTable,
}
