namespace ZfsLite.Bench.Kmem;

/// <summary>The arena of the benchmarks.</summary>
internal static class BenchArena
{
    /// <summary>512 MiB: room for every batch, so that nothing is reclaimed.</summary>
    internal const long Bytes = 512L << 20;
}
