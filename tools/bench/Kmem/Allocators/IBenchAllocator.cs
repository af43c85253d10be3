namespace ZfsLite.Bench.Kmem;

/// <summary>An allocator under test, a struct so that calls are direct. Made per benchmark, for one size or for any.</summary>
/// <typeparam name="T">What stands for an allocation.</typeparam>
public interface IBenchAllocator<T>
{
    /// <summary>Gets ready.</summary>
    /// <param name="size">Bytes of each object.</param>
    void Open(int size);

    /// <summary>Ends it.</summary>
    void Close();

    /// <summary>One object.</summary>
    T Alloc(int size);

    /// <summary>Gives it back.</summary>
    void Free(T obj, int size);
}
