using Xunit;
using ZfsLite.Fs;

namespace Fs.Tests.Dmu;

/// <summary>The ranges that a txg frees, against a set of blocks.</summary>
public sealed class FreeRangeListTests
{
    [Theory]
    [InlineData(1, 200, 4)]
    [InlineData(2, 20_000, 3)]
    [InlineData(3, 20_000, 300)]
    [InlineData(4, 5_000, 5_000)]
    public void BehavesAsASetOfBlocks(int seed, int blocks, int longest)
    {
        var random = new Random(seed);
        var list = new FreeRangeList();
        var model = new bool[blocks + 1];
        for (int i = 0; i < 4000; i++)
        {
            int first = random.Next(blocks);
            int last = Math.Min(blocks - 1, first + random.Next(longest));
            list.Add((ulong)first, (ulong)last);
            Array.Fill(model, true, first, last - first + 1);
            int probe = random.Next(blocks);
            Assert.Equal(model[probe], list.Contains((ulong)probe, out ulong end));
            if (model[probe])
            {
                Assert.Equal(Array.IndexOf(model, false, probe) - 1, (int)end);
            }

            if (i % 250 == 0)
            {
                Assert.Equal(RunsOf(model), list.Ranges);
            }
        }

        Assert.Equal(RunsOf(model), list.Ranges);
        list.Clear();
        Assert.True(list.IsEmpty);
        Assert.False(list.Contains(0));
    }

    [Fact]
    public void TheEndsOfTheNumbersAreRangesToo()
    {
        var list = new FreeRangeList();
        list.Add(10, ulong.MaxValue);
        list.Add(0, 0);
        Assert.Equal([(0UL, 0UL), (10UL, ulong.MaxValue)], list.Ranges);
        list.Add(ulong.MaxValue, ulong.MaxValue);
        list.Add(1, 8);
        Assert.Equal([(0UL, 8UL), (10UL, ulong.MaxValue)], list.Ranges);
        Assert.True(list.Contains(ulong.MaxValue, out ulong last));
        Assert.Equal(ulong.MaxValue, last);
        list.Add(9, 9);
        Assert.Equal([(0UL, ulong.MaxValue)], list.Ranges);
        list.Add(0, ulong.MaxValue);
        Assert.Equal([(0UL, ulong.MaxValue)], list.Ranges);
    }

    /// <summary>Half a million holes in no order: with a step for each one that is there already this would take hours.</summary>
    [Fact]
    public void ManyHolesInOneTxgAreNoMatterOfTheSquare()
    {
        const int Holes = 500_000;
        var list = new FreeRangeList();
        for (ulong i = 0; i < Holes; i++)
        {
            ulong at = i * 7919 % Holes * 2;
            list.Add(at, at);
            Assert.True(list.Contains(at));
            Assert.False(list.Contains(at + 1));
        }

        Assert.Equal(Holes, list.Ranges.Count());
        list.Add(5, ulong.MaxValue);
        Assert.Equal([(0UL, 0UL), (2UL, 2UL), (4UL, ulong.MaxValue)], list.Ranges);
    }

    private static List<(ulong First, ulong Last)> RunsOf(bool[] model)
    {
        var runs = new List<(ulong, ulong)>();
        for (int i = 0; i < model.Length; i++)
        {
            if (model[i] && (i == 0 || !model[i - 1]))
            {
                runs.Add(((ulong)i, (ulong)(Array.IndexOf(model, false, i) - 1)));
            }
        }

        return runs;
    }
}
