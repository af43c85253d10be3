using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Reservations between the datasets of a golden pool: what is set aside for one is nobody else's, and its own to the end.</summary>
public sealed unsafe class LimitTreeTests
{
    private const string Pool = "golda", Holder = "golda/parent/kid";
    private const int Piece = 128 << 10;
    private const long M = 1 << 20;

    [GoldenFact(Pool)]
    public void A_reservation_is_not_for_others_and_is_for_its_holder() => Check((spa, holder, other) =>
    {
        // The first txg frees what zfs-fuse had put off.
        Assert.Equal(0, Fill(other, "first", Piece));
        spa.Sync();
        long available = spa.AvailableBytes;
        long reserved = available / 2;
        DslDataset ds = spa.FindDataset(Holder)!;
        spa.SetLimit(Holder, "reservation", ds.Dir.UsedBytes + (ulong)reserved);
        Assert.Equal(reserved, spa.UnusedReserved);
        Assert.InRange(spa.AvailableBytes, available - reserved - M, available - reserved);
        ds.GetSpace(out _, out ulong mine);
        Assert.InRange((long)mine, available - M, available);
        Assert.Equal(Errno.ENOSPC, Fill(other, "o", long.MaxValue));
        spa.Sync();
        Assert.InRange(spa.AvailableBytes, -M, M);
        Assert.Equal(0, Fill(holder, "h", reserved - M));
        Assert.Equal(Errno.ENOSPC, Fill(other, "p", M));
        spa.Sync();
        Assert.InRange(spa.UnusedReserved, 0, M);
        Assert.Equal(Errno.ENOSPC, Fill(holder, "i", 2 * M));
    });

    [GoldenFact(Pool)]
    public void A_refreservation_is_its_holders_too_and_what_is_on_its_way_there_stands_in_nobodys_way() => Check((spa, holder, other) =>
    {
        DslDataset ds = spa.FindDataset(Holder)!;
        long available = spa.AvailableBytes;
        spa.SetLimit(Holder, "refreservation", ds.UniqueBytes + (ulong)(available - (3 * M)));
        spa.SetLimit("golda/parent", "reservation", spa.FindDataset("golda/parent")!.Dir.UsedBytes);
        spa.SetLimit(Pool, "quota", spa.RootDir.UsedBytes + (ulong)(2 * M));
        spa.Sync();
        long restarts = spa.Txg.Stats.SpaceRestarts;
        Assert.Equal(0, Fill(holder, "h", 4 * M));
        Assert.Equal(0, Fill(other, "o", M));
        Assert.Equal(restarts, spa.Txg.Stats.SpaceRestarts);
        Assert.Equal(Errno.EDQUOT, Fill(other, "o2", 8 * M));
        Assert.Equal(0, Fill(holder, "h2", M));
    });

    /// <summary>Runs a body with two datasets mounted, and has the pool checked after it.</summary>
    private static void Check(Action<Spa, Zfsvfs, Zfsvfs> body) => Backends.Run(() =>
    {
        using var memory = new KmemScope(64 << 20) { Failed = true };
        MemoryVdevIo io = GoldenPools.LoadAll(Pool)[0];
        Spa spa = Spa.Open([io], new SpaOpenOptions { WriteWithSnapshots = true });
        Assert.Null(spa.ReadOnlyReason);
        Objset[] sets = [spa.OpenObjset(Holder), spa.OpenObjset(Pool)];
        Zfsvfs[] mounted = [.. sets.Select(static os => Zfsvfs.Mount(os, readOnly: false, AtimeMode.Off))];
        body(spa, mounted[0], mounted[1]);
        foreach (Zfsvfs fs in mounted)
        {
            fs.Unmount();
        }

        foreach (Objset os in sets)
        {
            Assert.Equal(0, os.Dataset!.ExpectedFree);
            spa.CloseObjset(os);
            Assert.Equal(0, os.Dataset.Inflight);
        }

        Assert.Equal(0, spa.RootDir.Inflight);
        Assert.Equal(0, spa.RootDir.ExpectedFree);
        MemoryVdevIo? copy = null;
        spa.BeforeDevicesClose = () => copy = io.Clone();
        spa.Close();
        using (PoolReader pool = PoolReader.Open([copy!]))
        {
            Assert.Equal([], PoolChecker.Run(pool).Findings.Where(static f => f.Severity == CheckSeverity.Error).Select(static f => f.ToString()));
        }

        memory.Failed = false;
    }, seeds: 2, timeoutMs: 120_000);

    /// <summary>Makes a file of so many bytes, or as far as there is room.</summary>
    private static int Fill(Zfsvfs fs, string name, long bytes)
    {
        int error = fs.Create(new Cred(0, 0), fs.RootObject, System.Text.Encoding.UTF8.GetBytes(name), 0x81A4, 0, default, out ZnodeAttr attr);
        var data = new byte[Piece];
        new Random(5).NextBytes(data);
        fixed (byte* p = data)
        {
            for (long at = 0; at < bytes && error == 0; at += Piece)
            {
                error = fs.Write(attr.Object, (ulong)at, Piece, p, ZplWriteFlags.None, out _);
            }
        }

        return error;
    }
}
