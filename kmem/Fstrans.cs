using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>spl_fstrans_mark and unmark: marks belong to threads.</summary>
public static class Fstrans
{
    /// <summary>The flags that worker threads (task queues, quiesce, sync, inactive) carry for life under the current policy.</summary>
    public static ThreadFlags WorkerFlags => FlagsFor(KmemSystem.Current.Policy);

    /// <summary>Marks the calling thread until the cookie is disposed, in the same thread, last in first out.</summary>
    public static FstransCookie Mark() => new(Kthread.Current);

    /// <summary>The mark of an entry point of the file system: marks under policy fstrans; under the others the cookie does
    /// nothing, since their history did not mark there.</summary>
    public static FstransCookie MarkEntry() =>
        KmemSystem.Current.Policy == KmemPolicy.Fstrans ? new FstransCookie(Kthread.Current) : default;

    /// <summary>spl_fstrans_check: is the calling thread marked?</summary>
    public static bool Check() => (Kthread.Current.Flags & ThreadFlags.Fstrans) != 0;

    internal static ThreadFlags FlagsFor(KmemPolicy policy) =>
        policy == KmemPolicy.Fstrans ? ThreadFlags.Fstrans : ThreadFlags.None;
}
