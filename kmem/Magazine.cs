namespace ZfsLite.Kmem;

/// <summary>A stack of objects of one cache for one virtual CPU. Entered by try-lock: whoever misses goes to the slabs.</summary>
internal sealed unsafe class Magazine(int size)
{
    /// <summary>0 free, 1 taken.</summary>
    internal int Lock;

    /// <summary>Objects in it.</summary>
    internal int Count;

    /// <summary>Objects handed out from here.</summary>
    internal long Allocs;

    /// <summary>Objects taken back here.</summary>
    internal long Frees;

    /// <summary>The objects; the one freed last is on top.</summary>
    internal readonly byte*[] Objects = new byte*[size];
}
