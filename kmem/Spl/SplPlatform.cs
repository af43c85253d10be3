namespace ZfsLite.Kmem.Spl;

/// <summary>
/// The one door to the world. Everything in kmem, txn and fs that blocks, starts a thread, reads a clock, draws a random
/// number or decides something by an atomic goes through the types of this folder (Kthread, Kmutex, Krwlock, Kcondvar,
/// Taskq, Kclock, Krandom, Katomic). They share one implementation on top of four backend calls (park, unpark, now,
/// scheduling point) and two back ends: the operating system, and a deterministic simulator that runs one thread at a time.
/// The back end is chosen once per process, before first use, by the environment variable ZFSLITE_SPL (os | sim); the JIT
/// folds the choice away.
/// </summary>
public static class SplPlatform
{
    /// <summary>True when this process runs on the deterministic simulator.</summary>
    public static readonly bool IsSimulated =
        string.Equals(Environment.GetEnvironmentVariable("ZFSLITE_SPL"), "sim", StringComparison.Ordinal);
}
