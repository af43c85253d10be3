using System.Text;
using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Commits that no thread waits for, and those that one does, mixed.</summary>
public sealed class ZilWaiterTests
{
    private const int Threads = 4;
    private const int Rounds = 10;
    private const int PieceLength = 3000;

    private static readonly SimOptions Sim = new() { MaxSteps = 4_000_000 };

    [Fact]
    public void Everybody_is_told_once_and_what_was_told_is_there_after_a_crash() => Backends.Run(
        static () => Mixed(static (me, round) => ((me * 7) + (round * 3)) % 5),
        seeds: 16,
        options: Sim,
        osRounds: 8);

    [Fact]
    public void All_leave() => Backends.Run(static () => Mixed(static (_, _) => 2), seeds: 8, options: Sim, osRounds: 5);

    [Fact]
    public void One_stays_and_all_others_leave() =>
        Backends.Run(static () => Mixed(static (me, _) => me == 0 ? 0 : 2), seeds: 8, options: Sim, osRounds: 5);

    /// <summary>Each thread writes pieces of a file of its own and commits each in one of several ways.</summary>
    /// <param name="way">0: the thread waits; 1: the waiter can't leave; otherwise it leaves, and from 3 on the thread goes on at once and
    /// waits for it before its next commit.</param>
    private static void Mixed(Func<int, int, int> way)
    {
        using var p = new ZplPool(new KmemOptions { ArenaBytes = 64 << 20, LockArena = false }, diskBytes: 64 << 20);
        ulong[] files = [.. Enumerable.Range(0, Threads).Select(i => p.Make(p.RootDir, $"f{i}"))];
        Assert.Equal(0, p.Fs.SyncFs());
        long before = p.Fs.LogStats.Commits;
        Backends.Parallel(Threads, me =>
        {
            Waiter? last = null;
            for (int round = 0; round < Rounds; round++)
            {
                Assert.Equal(0, p.Write(files[me], (ulong)(round * PieceLength), Piece(me, round)));
                last?.Await();
                last = null;
                int how = way(me, round);
                if (how == 0)
                {
                    Assert.Equal(0, p.Fs.Fsync(files[me]));
                    continue;
                }

                var waiter = new Waiter { MayLeave = how > 1 };
                int error = p.Fs.Fsync(files[me], waiter);
                if (error == Errno.EINPROGRESS)
                {
                    Assert.True(waiter.HasLeft);
                    last = waiter;
                }
                else
                {
                    Assert.Equal(0, error);
                    Assert.Equal((false, 0), (waiter.HasLeft, waiter.Told));
                }

                if (how == 2)
                {
                    last?.Await();
                    last = null;
                }
            }

            last?.Await();
        });
        Assert.InRange(p.Fs.LogStats.Commits - before, Threads, Threads * Rounds);
        p.Crash();
        for (int me = 0; me < Threads; me++)
        {
            byte[] data = p.Read(p.Find(p.RootDir, $"f{me}"));
            for (int round = 0; round < Rounds; round++)
            {
                Assert.Equal(Piece(me, round), data.AsSpan(round * PieceLength, PieceLength).ToArray());
            }
        }

        p.Judge(zdb: false);
    }

    private static byte[] Piece(int me, int round) => Encoding.UTF8.GetBytes(new string((char)('a' + (me * Rounds) + round), PieceLength))[..PieceLength];

    private sealed class Waiter : FsyncWaiter
    {
        private const long PatienceNs = 60_000_000_000;

        private readonly Kmutex _mutex = new("test_waiter");
        private readonly Kcondvar _told = new("test_waiter");

        internal bool MayLeave { get; init; }

        internal bool HasLeft { get; private set; }

        internal int Told { get; private set; }

        internal void Await()
        {
            long deadline = Kclock.NowNs + PatienceNs;
            _mutex.Enter();
            while (Told == 0)
            {
                Assert.True(_told.WaitUntil(_mutex, deadline), "nobody tells the waiter");
            }

            Assert.Equal(1, Told);
            _mutex.Exit();
        }

        protected internal override bool TryLeave() => HasLeft = MayLeave;

        protected internal override void Done(int error)
        {
            _mutex.Enter();
            Told++;
            Assert.True(HasLeft);
            Assert.Equal(0, error);
            _told.Broadcast();
            _mutex.Exit();
        }
    }
}
