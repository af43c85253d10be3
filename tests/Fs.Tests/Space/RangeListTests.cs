using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

public sealed class RangeListTests : IDisposable
{
    private readonly KmemScope _kmem = new(new KmemOptions { ArenaBytes = 16 << 20, Poison = true, LockArena = false, FaultPoints = true });
    private readonly RangeMemory _chunks = new();

    public void Dispose()
    {
        _chunks.Dispose();
        _kmem.Dispose();
    }

    [Fact]
    public void Touching_runs_are_joined_and_records_hold_at_most_32768_units()
    {
        var list = new RangeList(_chunks, 1 << 20);
        list.Add(100_000, 40_000);
        list.Add(10, 5);
        list.Add(15, 5);
        list.Add(8, 2);
        list.Add(30, 1);
        var log = new EntryLog();
        list.Emit(free: true, log);
        Assert.Equal(
            [SpaceMapPhys.Entry(false, 8, 12), SpaceMapPhys.Entry(false, 30, 1), SpaceMapPhys.Entry(false, 100_000, 32768),
                SpaceMapPhys.Entry(false, 132_768, 7232)],
            log.Entries);
        Assert.Equal(40_013, list.Count);
        list.Clear();
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(200_000)]
    public void A_list_and_the_bitmap_it_becomes_emit_the_same(int units)
    {
        var random = new Random(units);
        var list = new RangeList(_chunks, units);
        using var expected = new MetaslabBitmap(units, KmFlags.Sleep);
        bool became = false;
        for (int i = 0; i < 6000; i++)
        {
            int start = random.Next(units - 3);
            int n = random.Next(1, 4);
            if (expected.TrySet(start, n))
            {
                list.Add(start, n);
                became |= list.IsBitmap;
            }
        }

        Assert.True(became);
        var log = new EntryLog();
        list.Emit(free: false, log);
        using var replayed = new MetaslabBitmap(units, KmFlags.Sleep);
        SpaceMapReplay.Apply(log.Entries.ToArray(), replayed);
        Assert.Equal(expected.CountSet(), list.Count);
        for (int u = 0; u < units; u++)
        {
            Assert.Equal(expected.NextSet(u, u + 1), replayed.NextSet(u, u + 1));
        }

        Assert.Equal(expected.CountSetRuns(), log.Entries.Count);
        list.Clear();
    }

    [Fact]
    public void A_list_too_long_to_sort_without_memory_is_emitted_in_parts()
    {
        const int Units = 4 << 20;
        var list = new RangeList(_chunks, Units);
        using var expected = new MetaslabBitmap(Units, KmFlags.Sleep);
        for (int i = 0; i < 3 * RangeMemory.SortRuns; i++)
        {
            // 7919 has no factor of a power of two: every even unit comes up once.
            int start = (int)((long)i * 2 * 7919 % Units);
            Assert.True(expected.TrySet(start, 1));
            list.Add(start, 1);
        }

        Assert.False(list.IsBitmap);
        var log = new EntryLog();
        Kthread self = Kthread.Current;
        self.Flags |= ThreadFlags.SyncPath;
        using (new AllocationFault(t => t == self))
        {
            list.Emit(free: false, log);
        }

        self.Flags &= ~ThreadFlags.SyncPath;
        using var replayed = new MetaslabBitmap(Units, KmFlags.Sleep);
        SpaceMapReplay.Apply(log.Entries.ToArray(), replayed);
        Assert.Equal(expected.CountSet(), replayed.CountSet());
        for (long u = expected.NextSet(0, Units); u < Units; u = expected.NextSet(u + 1, Units))
        {
            Assert.Equal(u, replayed.NextSet(u, u + 1));
        }

        list.Clear();
    }

    [Fact]
    public void Bitmap_searches_agree_with_a_naive_search()
    {
        var random = new Random(3);
        for (int round = 0; round < 200; round++)
        {
            int units = random.Next(1, 300);
            bool[] naive = new bool[units];
            using var bitmap = new MetaslabBitmap(units, KmFlags.Sleep);
            for (int i = 0; i < random.Next(60); i++)
            {
                int start = random.Next(units);
                int n = random.Next(1, Math.Min(70, units - start) + 1);
                bool clear = naive.AsSpan(start, n).IndexOf(true) < 0;
                bool set = naive.AsSpan(start, n).IndexOf(false) < 0;
                if (random.Next(3) > 0)
                {
                    Assert.Equal(clear, bitmap.TrySet(start, n));
                    if (clear)
                    {
                        naive.AsSpan(start, n).Fill(true);
                    }
                }
                else
                {
                    Assert.Equal(set, bitmap.TryClear(start, n));
                    if (set)
                    {
                        naive.AsSpan(start, n).Clear();
                    }
                }
            }

            int from = random.Next(units);
            int to = random.Next(from, units + 1);
            int want = random.Next(1, 80);
            Assert.Equal(Naive(naive, from, to, want), bitmap.FindClearRun(from, to, want));
            Assert.Equal(naive.Count(static b => b), bitmap.CountSet());
        }
    }

    private static long Naive(bool[] bits, int from, int to, int want)
    {
        for (int s = from; s + want <= to; s++)
        {
            if (bits.AsSpan(s, want).IndexOf(true) < 0)
            {
                return s;
            }
        }

        return -1;
    }
}
