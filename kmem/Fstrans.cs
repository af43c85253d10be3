using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>spl_fstrans_mark and unmark: marks belong to threads.</summary>
public static class Fstrans
{
    /// <summary>Marks the calling thread until the cookie is disposed, in the same thread, last in first out.</summary>
    public static FstransCookie Mark() => new(Kthread.Current);

    /// <summary>spl_fstrans_check: is the calling thread marked?</summary>
    public static bool Check() => (Kthread.Current.Flags & ThreadFlags.Fstrans) != 0;
}
