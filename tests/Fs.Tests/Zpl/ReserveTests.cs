using Xunit;
using Xunit.Abstractions;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>
/// The reserve carries the worst case (see KmemSystem). The smallest arena; the last txg is dirty and being written; every writer has
/// a transaction assigned, of the kinds that take most; then others take all memory down to the min watermark, and every page that
/// comes free above it, and the cache holds nothing clean. The writers have to finish, and the txg has to be written.
/// </summary>
public sealed class ReserveTests(ITestOutputHelper output)
{
    private const int Record = 131072;
    private const int Kinds = 8;

    private static readonly long s_minFreeBytes = KmemOptions.MinFreeBytesFor(
        KmemOptions.MinArenaBytes, new KmemOptions().SlabEngine, new SplEngineOptions().SlabLimit);

    [SimFact]
    public void Every_assigned_transaction_and_the_sync_find_the_memory_they_need() => AllComplete(8, 16);

    [SimFact]
    [Trait("Category", "stress")]
    public void So_they_do_under_many_more_schedules_and_with_more_writers()
    {
        AllComplete(8, 400);
        AllComplete(16, 200);
    }

    [SimFact]
    public void Without_a_reserve_they_do_not()
    {
        int starved = 0;
        for (int i = 0; i < 4; i++)
        {
            SimResult r = SimWorld.Run(Backends.Nth(Options, i), static () => _ = Round(8, minFreeBytes: 4 * KmemStats.PageSize, i: 0));
            starved += r.Failure is KmemExhaustedException ? 1 : 0;
        }

        Assert.NotEqual(0, starved);
    }

    private static SimOptions Options => new() { Seed = 100, MaxSteps = 10_000_000 };

    private void AllComplete(int writers, int seeds)
    {
        long lowest = long.MaxValue;
        long events = 0;
        Watermarks marks = default;
        for (int i = 0; i < seeds; i++)
        {
            KmemStats? stats = null;
            int n = i;
            SimResult r = SimWorld.Run(Backends.Nth(Options, i), () => stats = Round(writers, s_minFreeBytes, n));
            Assert.True(r.Outcome == SimOutcome.Completed && r.Leftover.Count == 0, r.ToString());
            Assert.InRange(stats!.LowestFreePages, 1, stats.Marks.Min - 1);
            lowest = Math.Min(lowest, stats.LowestFreePages);
            events = Math.Max(events, stats.ReserveEvents);
            marks = stats.Marks;
        }

        output.WriteLine($"{writers} writers, {seeds} schedules: at least {lowest} pages stayed free, min {marks.Min}; at most {events} allocations went below min");
    }

    private static KmemStats Round(int writers, long minFreeBytes, int i)
    {
        using var p = new ZplPool(new KmemOptions
        {
            ArenaBytes = KmemOptions.MinArenaBytes,
            MinFreeBytes = minFreeBytes,
            LockArena = false,
            OomTimeoutNs = 10_000_000_000,
        });
        var worlds = new Writer[writers];
        for (int n = 0; n < writers; n++)
        {
            worlds[n] = new Writer(p, n, (n + i) % Kinds);
        }

        Assert.Equal(0, p.Spa.Sync());
        foreach (Writer w in worlds)
        {
            w.Dirty();
        }

        Kthread[] threads;
        KmemStats stats;
        using (var gate = new Gate(p.Spa.Txg))
        {
            p.Spa.Txg.Kick();
            threads = [.. worlds.Select(w => Kthread.Start($"writer{w.Number}", w.Change))];
            gate.WaitFor(writers);
            using var hog = new MemoryHog();
            _ = p.Spa.Arc.Evict(long.MaxValue);
            hog.WaitUntilFull();
            gate.Open();

            // A writer with a second transaction to go may have to wait for memory before it: for the first ones that is forbidden.
            Assert.Equal(0, p.Spa.Sync());
            stats = KmemStats.Snapshot();
        }

        foreach (Kthread t in threads)
        {
            t.Join();
        }

        foreach (Writer w in worlds)
        {
            w.Check();
        }

        return stats;
    }

    /// <summary>Holds every thread at its first transaction.</summary>
    private sealed class Gate : IDisposable
    {
        private readonly ZfsLite.Txn.TxgEngine _txg;
        private readonly HashSet<Kthread> _seen = [];
        private int _there;
        private int _open;

        internal Gate(ZfsLite.Txn.TxgEngine txg)
        {
            _txg = txg;
            txg.AfterAssign = Pass;
        }

        public void Dispose() => _txg.AfterAssign = null;

        internal void Open() => Katomic.Store(ref _open, 1);

        internal void WaitFor(int threads)
        {
            while (Katomic.Load(ref _there) < threads)
            {
                Kthread.Sleep(100_000);
            }
        }

        private void Pass()
        {
            if (Katomic.Load(ref _open) != 0 || !_seen.Add(Kthread.Current))
            {
                return;
            }

            Katomic.Increment(ref _there);
            while (Katomic.Load(ref _open) == 0)
            {
                Kthread.Sleep(10_000);
            }
        }
    }

    /// <summary>A directory, a file with contents that one txg has dirtied, and one change to make in the next.</summary>
    private sealed class Writer
    {
        private readonly ZplPool _p;
        private readonly int _kind;
        private readonly ulong _dir;
        private readonly ulong _file;
        private readonly ulong _small;
        private readonly byte[] _content = new byte[3 * Record];
        private readonly byte[] _fresh = new byte[2 * Record];

        internal Writer(ZplPool p, int number, int kind)
        {
            _p = p;
            Number = number;
            _kind = kind;
            var random = new Random(number);
            random.NextBytes(_content);
            random.NextBytes(_fresh.AsSpan(Record / 4, Record));
            _dir = p.MakeDir(p.RootDir, "d" + number);
            _file = p.Make(_dir, "f");
            _small = p.Make(_dir, "small");
            Assert.Equal(0, p.Write(_file, 0, _content));
            Assert.Equal(0, p.Write(_small, 0, _content.AsSpan(0, 5000)));
        }

        internal int Number { get; }

        internal void Dirty()
        {
            _content.AsSpan((Record / 2) + 5, 2 * Record).Reverse();
            Assert.Equal(0, _p.Write(_file, 0, _content));
            Assert.Equal(0, _p.Write(_small, 10, _content.AsSpan(10, 100)));
        }

        internal void Change()
        {
            switch (_kind)
            {
                case 0:
                    // A name that a micro ZAP can't hold.
                    Assert.Equal(0, _p.TryMake(_dir, new string('n', 200)));
                    break;
                case 1:
                    Assert.Equal(0, _p.Truncate(_file, Record + 100));
                    break;
                case 2:
                    Assert.Equal(0, _p.SetXattr(_file, "user.x", _fresh.AsSpan(0, 16384)));
                    break;
                case 3:
                    // The one small block becomes a whole record.
                    Assert.Equal(0, _p.Write(_small, 3000, _fresh));
                    break;
                case 4:
                    Assert.Equal(0, _p.Fs.Fallocate(_file, 3, 1000, Record + 1000));
                    break;
                default:
                    // As much as one request brings in an arena of this size, across three records.
                    Assert.Equal(0, _p.Write(_file, Record / 2, _fresh));
                    break;
            }
        }

        internal void Check()
        {
            byte[] small = [.. _content.AsSpan(0, 5000)];
            switch (_kind)
            {
                case 0:
                    _ = _p.Find(_dir, new string('n', 200));
                    break;
                case 1:
                    Assert.Equal(_content[..(Record + 100)], _p.Read(_file));
                    return;
                case 2:
                    Assert.Equal(_fresh[..16384], _p.GetXattr(_file, "user.x"));
                    break;
                case 3:
                    small = [.. small.AsSpan(0, 3000), .. _fresh];
                    break;
                case 4:
                    _content.AsSpan(1000, Record + 1000).Clear();
                    break;
                default:
                    _fresh.CopyTo(_content, Record / 2);
                    break;
            }

            Assert.Equal(_content, _p.Read(_file));
            if (_kind == 3)
            {
                Assert.Equal(small, _p.Read(_small));
            }
        }
    }
}
