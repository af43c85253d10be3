using Xunit;
using ZfsLite.Fs;
using ZfsLite.Fs.Tests;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;
using static Fs.Tests.FuseClient;

namespace Fs.Tests;

/// <summary>FSYNC as the session serves it: shared writes of the log, and no thread for each request.</summary>
public sealed class FuseFsyncTests
{
    private const int Files = 12;
    private const int Rounds = 6;
    private const long DiskLatencyNs = 2_000_000;

    private static readonly SimOptions Sim = new() { MaxSteps = 4_000_000 };

    [Fact]
    public void Many_fsyncs_at_once_share_a_write_and_take_no_thread_each() => Backends.Run(static () => Share(workers: 4), seeds: 6, options: Sim);

    /// <summary>With one place for requests that may wait, they come one after the other.</summary>
    [Fact]
    public void The_fewest_workers_serve_all() => Backends.Run(static () => Share(workers: 3, shares: false), seeds: 6, options: Sim);

    /// <summary>Requests that wait for the log hold at most what the session may hold: the others wait in their workers.</summary>
    [Fact]
    public void Without_room_for_requests_that_leave_all_are_served() =>
        Backends.Run(static () => Share(workers: 4, room: false, shares: false), seeds: 6, options: Sim);

    private static void Share(int workers, bool room = true, bool shares = true)
    {
        const int MaxWrite = 128 << 10;
        SimVdevIo? disk = null;
        Spa? spa = null;
        Objset? os = null;
        Zfsvfs? fs = null;
        long held = workers * (MaxWrite + (long)FuseRequest.HeadBytes);
        var options = new FuseSessionOptions { MaxWrite = MaxWrite, MaxWorkers = workers, BufferBytesMax = room ? 4 << 20 : held };
        MemoryVdevIo crashed;
        FuseSession session;
        using (var client = new FuseClient(
            () =>
            {
                disk = new SimVdevIo(TestPool.Format(64 << 20), seed: 1);
                spa = Spa.Open([disk], new SpaOpenOptions());
                os = spa.OpenObjset("tank");
                fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
                return new ZfsvfsFuse(fs);
            },
            () =>
            {
                disk!.LatencyNs = 0;
                fs!.Unmount();
                spa!.CloseObjset(os!);
                spa.Close();
            },
            options))
        {
            ulong[] files = [.. Enumerable.Range(0, Files).Select(i => client.CreateFile($"f{i}"))];
            Assert.Equal(0, client.Call(FuseOpcode.Fsync, files[0], U64(0), U32(0, 0)).Error);
            disk!.LatencyNs = DiskLatencyNs;
            ZilogStats before = fs!.LogStats;
            for (int round = 0; round < Rounds; round++)
            {
                for (int i = 0; i < Files; i++)
                {
                    Assert.Equal(0, client.Call(FuseOpcode.Write, files[i], WriteBody((ulong)round * 512, Piece(i, round))).Error);
                }

                ulong[] fsyncs = [.. files.Select(f => client.Send(FuseOpcode.Fsync, f, U64(0), U32(0, 0)))];
                Assert.All(fsyncs, f => Assert.Equal(0, client.Receive(f).Error));
            }

            long batches = fs.LogStats.Batches - before.Batches;
            Assert.InRange(client.Session.WorkerCount, 1, workers);
            Assert.True(!shares || batches <= Rounds * 3, $"{batches} writes of the log for {Rounds} times {Files} fsyncs at once");
            crashed = disk.CrashImage(seed: 7);
            session = client.Session;
        }

        Assert.Equal((Files * Rounds) + 1, session.Statistics().Single(static s => s.Opcode == FuseOpcode.Fsync).Count);

        using var after = new ZplPool(crashed, "tank");
        for (int i = 0; i < Files; i++)
        {
            byte[] data = after.Read(after.Find(after.RootDir, $"f{i}"));
            for (int round = 0; round < Rounds; round++)
            {
                Assert.Equal(Piece(i, round), data.AsSpan(round * 512, 512).ToArray());
            }
        }
    }

    private static byte[] Piece(int file, int round)
    {
        var piece = new byte[512];
        Array.Fill(piece, (byte)((file * Rounds) + round + 1));
        return piece;
    }
}
