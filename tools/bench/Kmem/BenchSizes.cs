namespace ZfsLite.Bench.Kmem;

/// <summary>Object sizes of a run: five, or with ZFSLITE_BENCH_GRID=full every power of two from 64 bytes to 128 KiB.</summary>
internal static class BenchSizes
{
    private static readonly bool s_full = Environment.GetEnvironmentVariable("ZFSLITE_BENCH_GRID") == "full";

    /// <summary>The full grid, bytes.</summary>
    internal static int[] Full { get; } = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072];

    /// <summary>Sizes that don't divide a page, bytes: where slabs lose most.</summary>
    internal static int[] Odd { get; } = [72, 328, 700, 1100, 2025, 3500, 5000, 9000, 20000, 40000];

    /// <summary>The sizes of this run, bytes.</summary>
    internal static int[] All { get; } = s_full ? Full : [64, 512, 4096, 16384, 131072];

    /// <summary>Three of them, where more dimensions vary.</summary>
    internal static int[] Few { get; } = s_full ? Full : [64, 4096, 131072];
}
