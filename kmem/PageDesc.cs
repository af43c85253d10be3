using System.Runtime.InteropServices;

namespace ZfsLite.Kmem;

/// <summary>
/// The descriptor of a page, as struct page is in Linux. What a field means depends on the kind. Guarded by the lock of the
/// list the page is on (node, cache); a page in nobody's list belongs to the thread that took it.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PageDesc
{
    /// <summary>What the page is.</summary>
    internal PageKind Kind;

    /// <summary>Free, VmallocRun: size of the block is 1 shifted by Order pages.</summary>
    internal byte Order;

    /// <summary>The slab is in its cache's partial list.</summary>
    internal bool Listed;

    /// <summary>First page of an allocation taken from below the min watermark by a thread that may (PF_MEMALLOC).</summary>
    internal bool Reserve;

    /// <summary>Next page of the list (free list, partial list, runs of one mapping), or -1.</summary>
    internal int Next;

    /// <summary>Previous page of the list, or -1.</summary>
    internal int Prev;

    /// <summary>Slab, in pages in which an object begins: first page of the slab.</summary>
    internal int Head;

    /// <summary>Slab, in pages in which an object begins: whose it is, with node and tag (<see cref="SlabEngine.OwnerOf"/>); 0 for every
    /// other page.</summary>
    internal int Owner;

    /// <summary>Slab, Large: pages of the whole allocation.</summary>
    internal int Pages;

    /// <summary>Slab: objects taken (those in magazines included).</summary>
    internal int InUse;

    /// <summary>Slab: objects in all.</summary>
    internal int Objects;

    /// <summary>First page of a window mapping: the first of its runs.</summary>
    internal int Runs;

    /// <summary>Slab of up to 64 objects: one bit per free object. Large: the bytes that were asked for.</summary>
    internal ulong Data;
}
