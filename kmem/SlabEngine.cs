using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The slabs behind a cache: how pages are cut into objects, who gets which, when a cache grows and when pages go back. The
/// cache in front of it has the queues per virtual CPU and calls here when they run empty or full. Caches that are merged share
/// one engine.
/// </summary>
internal abstract unsafe class SlabEngine
{
    /// <summary>Bits of <see cref="PageDesc.Owner"/> that say which engine: all but those of node and tag.</summary>
    internal const int IdMask = ~15;

    private const int ReserveBit = 1;
    private const int NodeShift = 1;

    protected SlabEngine(KmemSystem system, string name, KmemCacheFlags flags)
    {
        System = system;
        Name = name;
        Flags = flags;
    }

    /// <summary>Name of the cache that it was made for.</summary>
    internal string Name { get; }

    /// <summary>The memory it takes pages from.</summary>
    protected KmemSystem System { get; }

    /// <summary>
    /// Number of the engine, a multiple of 16, never 0 and never used again: <see cref="PageDesc.Owner"/> of its pages that are on
    /// node 0 and not tagged. Set before the first allocation.
    /// </summary>
    internal int Id { get; set; }

    /// <summary>KMC_* flags.</summary>
    internal KmemCacheFlags Flags { get; }

    /// <summary>Memory of new slabs is filled with the junk of freed memory, for those who watch its objects.</summary>
    internal bool JunksNewSlabs { get; init; }

    /// <summary>The caches that share it. Guarded by the lock of <see cref="CacheRegistry"/>.</summary>
    internal List<KmemCache> Caches { get; } = [];

    /// <summary>Objects that a queue per virtual CPU should hold.</summary>
    internal abstract int QueueSize { get; }

    /// <summary><see cref="PageDesc.Owner"/> of pages on a node; tagged ones hold objects for entitled threads alone.</summary>
    internal int OwnerOf(int node, bool reserve) => Id | (node << NodeShift) | (reserve ? ReserveBit : 0);

    /// <summary>The owner of pages whose objects may be in the queue of a virtual CPU of a node.</summary>
    internal virtual int QueueOwner(int node) => Id;

    /// <summary>Fills up to <see cref="Magazine.Batch"/> of an empty queue, which the caller has entered, and takes one object more,
    /// or null. Never sleeps for memory.</summary>
    internal abstract byte* Refill(Magazine magazine);

    /// <summary>Takes an object past the queues, or null. Never sleeps for memory.</summary>
    internal abstract byte* TryTake();

    /// <summary>Adds a slab and takes an object from it; or one that others gave back meanwhile. Null only with KM_NOSLEEP.</summary>
    internal abstract byte* Grow(KmFlags flags, Kthread self);

    /// <summary>Gives the oldest objects of a queue, which the caller has entered, back.</summary>
    /// <param name="magazine">The queue.</param>
    /// <param name="count">How many, from index 0 on.</param>
    /// <param name="toSlabs">Straight to their slabs, past any queue of the engine.</param>
    internal abstract void Flush(Magazine magazine, int count, bool toSlabs);

    /// <summary>Gives an object back past the queues.</summary>
    /// <param name="obj">The object.</param>
    /// <param name="page">Its page.</param>
    internal abstract void Put(byte* obj, int page);

    /// <summary>Addresses of objects that are out of the slabs, as many as the span holds; returns how many. 0: the engine can't tell.</summary>
    internal virtual int FindLive(Span<nint> addresses) => 0;

    /// <summary>Gives every empty slab back to the page allocator, objects that wait in queues of the engine first.</summary>
    internal abstract void Shrink();

    /// <summary>Reclaim asks for pages: gives back what costs least, and stops as soon as pages came of it.</summary>
    internal virtual void Expire() => Shrink();

    /// <summary>The last cache is destroyed: gives back what the engine holds besides slabs.</summary>
    internal virtual void Close()
    {
    }

    /// <summary>Is this the start of an object, in a page of this cache?</summary>
    internal abstract bool IsObject(byte* obj, int page);

    /// <summary>The figures.</summary>
    internal abstract SlabEngineStats Statistics();
}
