using BenchmarkDotNet.Attributes;
using ZfsLite.Kmem;

namespace ZfsLite.Bench.Kmem;

/// <summary>spl_fstrans_mark and spl_fstrans_unmark.</summary>
public class KmemMarkBenchmarks
{
    private const int Pairs = 1000;

    /// <summary>Sets up an arena: its policy decides what a mark does.</summary>
    [GlobalSetup]
    public void Setup() => KmemSystem.Init(new KmemOptions { LockArena = false });

    /// <summary>Gives it back.</summary>
    [GlobalCleanup]
    public void Cleanup() => KmemSystem.Shutdown();

    /// <summary>Marks and unmarks.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void MarkAndUnmark()
    {
        for (int i = 0; i < Pairs; i++)
        {
            using FstransCookie mark = Fstrans.Mark();
        }
    }
}
