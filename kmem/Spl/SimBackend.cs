namespace ZfsLite.Kmem.Spl;

/// <summary>The deterministic simulator behind the Spl types.</summary>
internal static class SimBackend
{
    internal static bool Aborting => false;

    internal static long NowNs => throw new NotSupportedException();

    internal static void Start(Kthread thread) => throw new NotSupportedException();

    internal static bool Park(Kthread self, long deadlineNs) => throw new NotSupportedException();

    internal static void Unpark(Kthread thread) => throw new NotSupportedException();

    internal static void Point()
    {
    }

    internal static ulong NextRandom() => throw new NotSupportedException();
}
