using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The slabs behind a cache: how pages are cut into objects, who gets which, when a cache grows and when pages go back. The
/// cache in front of it has the queues per virtual CPU and calls here when they run empty or full. One engine object per cache.
/// </summary>
internal abstract unsafe class SlabEngine
{
    protected SlabEngine(KmemSystem system, string name, KmemCacheFlags flags)
    {
        System = system;
        Name = name;
        Flags = flags;
    }

    /// <summary>The memory it takes pages from.</summary>
    protected KmemSystem System { get; }

    /// <summary>Name of the cache.</summary>
    protected string Name { get; }

    /// <summary>Number of the cache: <see cref="PageDesc.Owner"/> of its pages. Set before the first allocation.</summary>
    internal int Id { get; set; }

    /// <summary>KMC_* flags.</summary>
    protected KmemCacheFlags Flags { get; }

    /// <summary>Objects that a queue per virtual CPU should hold.</summary>
    internal abstract int QueueSize { get; }

    /// <summary>Fills up to half of an empty queue, which the caller has entered, and takes one object more, or null. Never sleeps
    /// for memory.</summary>
    internal abstract byte* Refill(Magazine magazine);

    /// <summary>Takes an object past the queues, or null. Never sleeps for memory.</summary>
    internal abstract byte* TryTake();

    /// <summary>Adds a slab and takes an object from it; or one that others gave back meanwhile. Null only with KM_NOSLEEP.</summary>
    internal abstract byte* Grow(KmFlags flags, Kthread self);

    /// <summary>Gives the oldest objects of a queue, which the caller has entered, back.</summary>
    internal abstract void Flush(Magazine magazine, int count);

    /// <summary>Gives an object back past the queues.</summary>
    /// <param name="obj">The object.</param>
    /// <param name="page">Its page.</param>
    internal abstract void Put(byte* obj, int page);

    /// <summary>Gives every empty slab back to the page allocator.</summary>
    internal abstract void Shrink();

    /// <summary>Is this the start of an object, in a page of this cache?</summary>
    internal abstract bool IsObject(byte* obj, int page);

    /// <summary>The figures.</summary>
    internal abstract SlabEngineStats Statistics();
}
