using Xunit;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace Fs.Tests.Dmu;

/// <summary>
/// Devices that fail now and then, for a while, for good, or not at all come back: the pool waits with what is dirty, says so, goes on when it
/// is told to, and has lost nothing; or it is given up and is as it was last synced.
/// </summary>
public sealed unsafe class SuspendTests
{
    private const int FileBytes = 40_000;
    private const long StepNs = 1_000_000;
    private const long PatienceNs = 20_000_000_000;
    private static readonly Cred s_root = new(0, 0);

    [Fact]
    public void AnIoThatFailsOnceIsTriedAgainAndNobodyNotices()
    {
        int failed = 0;
        for (int k = 1; k <= 40; k += Backends.IsSim ? 3 : 1)
        {
            int at = k;
            Run(w =>
            {
                w.Disk.FailAtIo = w.Disk.IoCount + at;
                w.WriteAndSync(round: 1);
                Assert.False(w.Spa.IsSuspended);
                (_, long writes, long flushes) = w.Spa.Suspension.Errors;
                failed += (int)(writes + flushes);
            });
        }

        Assert.True(failed >= 5, $"only {failed} I/Os failed");
    }

    [Theory]
    [InlineData(9)]
    [InlineData(12)]
    public void APoolWhoseDiskFailsWaitsAndGoesOnAfterClear(int ashift)
    {
        int suspended = 0;
        for (int k = 1; k <= 40; k += Backends.IsSim ? 5 : 1)
        {
            int at = k;
            Run(
                w =>
                {
                    w.Disk.FailAtIo = w.Disk.IoCount + at;
                    w.Disk.FailForever = true;
                    bool done = false;
                    Kthread writer = Kthread.Start("writer", () =>
                    {
                        for (ulong round = 1; round <= 3; round++)
                        {
                            w.WriteAndSync(round);
                        }

                        Katomic.Store(ref w.Done, 1);
                    });
                    w.Until(() => w.Spa.IsSuspended || (done = Katomic.Load(ref w.Done) != 0));
                    suspended += done ? 0 : 1;
                    if (!done)
                    {
                        Assert.Contains("failed: EIO", w.Spa.SuspendReason, StringComparison.Ordinal);
                        Assert.True(w.Spa.Suspension.SinceSeconds > 0);
                        Assert.False(w.Spa.HasFailed);
                        w.ReadsAnyway();

                        // Told to go on too early, it waits again.
                        Assert.True(w.Spa.Suspension.Clear());
                        Assert.False(w.Spa.Suspension.WaitCleared(PatienceNs));
                        w.Until(() => w.Spa.IsSuspended);
                    }

                    w.Disk.FailAtIo = 0;
                    w.Disk.FailForever = false;
                    _ = w.Spa.Suspension.Clear();
                    Assert.True(w.Spa.Suspension.WaitCleared(PatienceNs));
                    writer.Join();
                    Assert.False(w.Spa.IsSuspended);
                    Assert.Null(w.Spa.SuspendReason);
                },
                ashift);
        }

        Assert.True(suspended >= (Backends.IsSim ? 5 : 25), $"only {suspended} runs were suspended");
    }

    [Fact]
    public void APoolThatIsGivenUpIsAsItWasLastSynced() => Run(
        w =>
        {
            w.WriteAndSync(round: 1);
            w.Disk.FailAtIo = w.Disk.IoCount + 1;
            w.Disk.FailForever = true;
            int error = 0;
            Kthread writer = Kthread.Start("writer", () => error = w.TryWriteAndSync(2));
            w.Until(() => w.Spa.IsSuspended);
            Assert.False(w.Spa.HasFailed);
            w.Spa.Suspension.GiveUp();
            writer.Join();
            Assert.Equal(Errno.EIO, error);
            Assert.True(w.Spa.HasFailed && w.Spa.IsSuspended);
            Assert.Contains("failed: EIO", w.Spa.SuspendReason, StringComparison.Ordinal);
            Assert.Equal(Errno.EIO, w.TryWriteAndSync(3));
            Assert.False(w.Spa.Suspension.Clear());
        },
        losesRound: 2);

    [Fact]
    public void APoolThatFailsWhileItIsClosedWaitsForAWhileOnly() => Run(
        w =>
        {
            w.WriteAndSync(round: 1);
            w.Disk.FailAtIo = w.Disk.IoCount + 1;
            w.Disk.FailForever = true;
            Assert.Equal(0, w.Write(2));
            w.Spa.Suspension.Limit(50 * StepNs);
        },
        losesRound: 2);

    [Fact]
    public void BeforeAnybodyCouldClearItAFailureIsFinal() => Run(
        w =>
        {
            w.WriteAndSync(round: 1);
            w.Disk.FailAtIo = w.Disk.IoCount + 1;
            w.Disk.FailForever = true;
            Assert.Equal(Errno.EIO, w.TryWriteAndSync(2));
            Assert.True(w.Spa.HasFailed);
        },
        losesRound: 2,
        enable: false);

    [Fact]
    public void AnIoThatDoesNotComeBackIsOnRecord() => Run(w =>
    {
        Assert.Equal(0, w.Spa.OldestIo(out _, out _));
        w.Disk.LatencyNs = 400 * StepNs;
        Kthread writer = Kthread.Start("writer", () => w.WriteAndSync(1));
        string path = "";
        IoKind kind = IoKind.Read;
        w.Until(() => w.Spa.OldestIo(out path, out kind) > 100 * StepNs && kind != IoKind.Read);
        Assert.Equal(w.Disk.Path, path);
        ZfsLite.Txn.WaitGraph graph = ZfsLite.Txn.WaitGraph.Capture();
        Assert.Contains(graph.Nodes, static n => n is { IsIdle: false, WaitsFor: { } what } && (what.StartsWith("a write to memory, ", StringComparison.Ordinal) || what == "a flush of memory"));
        Assert.Contains(graph.SlowWaits(50 * StepNs), static s => s.ToLine() is var line && line.Contains(" ms for a ", StringComparison.Ordinal) && line.Contains(" memory", StringComparison.Ordinal));
        w.Disk.LatencyNs = 0;
        writer.Join();
        Assert.Equal(0, w.Spa.OldestIo(out _, out _));
    });

    private static void Run(Action<World> body, int ashift = 9, ulong losesRound = 0, bool enable = true) => Backends.Run(
        () =>
        {
            using var memory = new KmemScope(24 << 20) { Failed = true };
            var world = new World(ashift);
            if (enable)
            {
                world.Spa.Suspension.Enable();
            }

            body(world);
            bool failed = world.Close();
            Assert.Equal(losesRound != 0, failed);
            memory.Failed = failed;
            world.Check(losesRound);
        },
        seeds: 1,
        timeoutMs: 60_000,
        options: new SimOptions { MaxSteps = 20_000_000 });

    /// <summary>A pool on a disk that can fail, with one file, and what was synced to it.</summary>
    private sealed class World
    {
        private readonly Objset _os;
        private readonly Zfsvfs _fs;
        private readonly ulong _file;
        private ulong _synced;
        internal int Done;

        internal World(int ashift)
        {
            Disk = new SimVdevIo(TestPool.Format(64 << 20, ashift), 1);
            Spa = Spa.Open([Disk], new SpaOpenOptions { Workers = 2 });
            _os = Spa.OpenObjset("tank");
            _fs = Zfsvfs.Mount(_os, false, AtimeMode.Off);
            Assert.Equal(0, _fs.Create(s_root, _fs.RootObject, "kept"u8, 0x81A4, 0, default, out ZnodeAttr kept));
            _file = kept.Object;
            Assert.Equal(0, Write(0));
            Assert.Equal(0, _fs.SyncFs());
        }

        internal SimVdevIo Disk { get; }

        internal Spa Spa { get; }

        internal int Write(ulong round)
        {
            byte* data = stackalloc byte[FileBytes];
            Fill(round, data);
            return _fs.Write(_file, round * FileBytes, FileBytes, data, ZplWriteFlags.None, out _);
        }

        internal int TryWriteAndSync(ulong round)
        {
            int error = Write(round);
            return error != 0 ? error : _fs.SyncFs();
        }

        /// <summary>Once by the log, once by a txg.</summary>
        internal void WriteAndSync(ulong round)
        {
            Assert.Equal(0, Write(round));
            Assert.Equal(0, _fs.Fsync(_file));
            Assert.Equal(0, TryWriteAndSync(round));
            _synced = round;
        }

        internal void ReadsAnyway()
        {
            byte first;
            byte* expected = stackalloc byte[FileBytes];
            Fill(0, expected);
            Assert.Equal(0, _fs.Read(_file, 0, 1, &first, out int got));
            Assert.Equal((1, expected[0]), (got, first));
        }

        internal void Until(Func<bool> holds)
        {
            long end = Kclock.NowNs + PatienceNs;
            while (!holds())
            {
                Assert.True(Kclock.NowNs < end, "it did not happen");
                Kthread.Sleep(StepNs);
            }
        }

        /// <summary>Unmounts and closes, and says whether the pool had failed.</summary>
        internal bool Close()
        {
            _fs.Unmount();
            Spa.CloseObjset(_os);
            Spa.Close();
            return Spa.HasFailed;
        }

        /// <summary>What was synced is there, and the pool is clean.</summary>
        internal void Check(ulong losesRound)
        {
            MemoryVdevIo image = Disk.DurableImage();
            using (PoolReader pool = PoolReader.Open([image.Clone()]))
            {
                Assert.Equal([], PoolChecker.Run(pool).Findings
                    .Where(f => f.Severity == CheckSeverity.Error && (losesRound == 0 || !f.Message.Contains("label", StringComparison.Ordinal)))
                    .Select(static f => f.ToString()));
            }

            Spa spa = TestPool.Open(image);
            Objset os = spa.OpenObjset("tank");
            Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
            byte* data = stackalloc byte[FileBytes];
            byte* expected = stackalloc byte[FileBytes];
            for (ulong round = 0; round <= _synced; round++)
            {
                Fill(round, expected);
                Assert.Equal(0, fs.Read(_file, round * FileBytes, FileBytes, data, out int done));
                Assert.True(done == FileBytes && new Span<byte>(data, FileBytes).SequenceEqual(new Span<byte>(expected, FileBytes)), $"round {round} is lost");
            }

            fs.Unmount();
            spa.CloseObjset(os);
            spa.Close();
        }

        private static void Fill(ulong round, byte* data)
        {
            var random = new SplitMix(round + 1);
            for (int i = 0; i < FileBytes; i += 8)
            {
                *(ulong*)(data + i) = random.NextUInt64();
            }
        }
    }
}
