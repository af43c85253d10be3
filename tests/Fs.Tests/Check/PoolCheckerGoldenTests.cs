using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Pools of another writer, which its own checker finds clean, are clean.</summary>
public sealed class PoolCheckerGoldenTests : IDisposable
{
    private readonly KmemScope _kmem = new(64 << 20);

    public void Dispose() => _kmem.Dispose();

    [GoldenFact("golda")]
    public void Golda_is_clean() => CheckClean("golda", 4018, 16 + 2);

    [GoldenFact("golda12")]
    public void Golda12_is_clean() => CheckClean("golda12", 100, 2 + 2);

    [GoldenFact("goldc")]
    public void Goldc_is_clean() => CheckClean("goldc", 100, 2 + 2);

    [GoldenFact("goldd")]
    public void Goldd_with_its_log_not_replayed_is_clean() => CheckClean("goldd", 50, 1 + 2);

    [GoldenFact("goldmini")]
    public void Goldmini_is_clean_but_for_what_its_writer_counted_once_for_each_copy()
    {
        // The script that made it put the size of all copies where the size of one belongs; its own checker does not look.
        using PoolReader pool = PoolReader.Open(GoldenPools.LoadAll("goldmini"));
        CheckResult result = PoolChecker.Run(pool);
        Assert.Equal(6, result.Findings.Count);
        Assert.All(result.Findings, f => Assert.Contains("compressed bytes", f.Message));
        Assert.Equal(result.AllocatedBytes, result.ReferencedBytes);
    }

    private static void CheckClean(string name, int minBlocks, int datasets)
    {
        using PoolReader pool = PoolReader.Open(GoldenPools.LoadAll(name));
        double last = 0;
        CheckResult result = PoolChecker.Run(pool, new CheckOptions
        {
            Progress = (done, what) =>
            {
                Assert.InRange(done, last, 1);
                Assert.NotEqual("", what);
                last = done;
            },
        });
        Assert.Empty(result.Findings);
        Assert.Equal(1, last);
        Assert.Equal(result.AllocatedBytes, result.ReferencedBytes);
        Assert.True(result.Blocks >= minBlocks, $"{result.Blocks} blocks");
        Assert.Equal(datasets, result.Datasets);
        Assert.True(result.Files > 0);
    }
}
