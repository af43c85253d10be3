using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Quotas and reservations of a pool with one dataset: who is refused and when, what df says, and that the accounts stay right.</summary>
public sealed class QuotaTests
{
    private const int Piece = 128 << 10;
    private const ulong Quota = 8 << 20;

    /// <summary>The most that may go past a quota: a transaction for each writer, with metadata.</summary>
    private const ulong OvershootMax = 2 << 20;

    [Theory]
    [InlineData("quota")]
    [InlineData("refquota")]
    public void A_quota_fills_up_and_then_refuses_and_what_is_removed_makes_room_at_once(string limit) => Backends.Run(() =>
    {
        using var p = new ZplPool();
        p.Spa.SetLimit("tank", limit, Quota);
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(Errno.EDQUOT, Fill(p, file));
        p.Spa.Sync();
        Assert.InRange(Used(p, limit), Quota, Quota + OvershootMax);
        Assert.Equal(Errno.EDQUOT, p.TryMake(p.RootDir, "g"));
        Assert.Equal(Errno.EDQUOT, p.Write(file, 0, new byte[1]));
        Assert.Equal(0, p.Fs.StatFs(out StatFs full));
        Assert.Equal(0UL, full.BlocksAvailable);

        // Both at once: a removal goes through, and who comes right after it waits for the space rather than be refused.
        Assert.Equal(0, p.Truncate(file, 1 << 20));
        Assert.Equal(0, p.Write(p.Make(p.RootDir, "g"), 0, Data(Piece)));
        Assert.Equal(0, p.Unlink(p.RootDir, "f"));
        ulong again = p.Make(p.RootDir, "h");
        Assert.Equal(Errno.EDQUOT, Fill(p, again));
        p.Spa.Sync();
        Assert.InRange(Used(p, limit), Quota, Quota + OvershootMax);
        p.Spa.SetLimit("tank", limit, 0);
        Assert.Equal(0, p.Write(again, 0, Data(Piece)));
        p.Judge();
    }, seeds: 4);

    [Fact]
    public void Writers_at_once_go_past_a_quota_by_no_more_than_what_they_have_begun() => Backends.Run(() =>
    {
        using var p = new ZplPool();
        p.Spa.SetLimit("tank", "quota", Quota);
        var threads = new Kthread[4];
        var files = new ulong[threads.Length];
        int odd = 0;
        for (int t = 0; t < threads.Length; t++)
        {
            files[t] = p.Make(p.RootDir, $"f{t}");
        }

        for (int t = 0; t < threads.Length; t++)
        {
            ulong file = files[t];
            threads[t] = Kthread.Start($"writer/{t}", () =>
            {
                if (Fill(p, file) != Errno.EDQUOT)
                {
                    Katomic.Increment(ref odd);
                }
            });
        }

        foreach (Kthread t in threads)
        {
            t.Join();
        }

        Assert.Equal(0, odd);
        p.Spa.Sync();
        Assert.InRange(Used(p, "quota"), Quota, Quota + OvershootMax);
        p.Judge();
    }, seeds: 6);

    [Fact]
    public void A_quota_below_what_is_used_is_refused_and_the_pool_goes_on() => Backends.Run(() =>
    {
        using var p = new ZplPool();
        Assert.Equal(0, p.Write(p.Make(p.RootDir, "f"), 0, Data(2 << 20)));
        p.Spa.Sync();
        foreach (string limit in (string[])["quota", "refquota"])
        {
            Assert.Equal(Errno.ENOSPC, Assert.Throws<ZfsException>(() => p.Spa.SetLimit("tank", limit, 1 << 20)).Errno);
            Assert.Equal(0UL, p.Spa.GetLimit("tank", limit));
            p.Spa.SetLimit("tank", limit, 64 << 20);
        }

        Assert.Equal(Errno.ENOSPC, Assert.Throws<ZfsException>(() => p.Spa.SetLimit("tank", "refreservation", 65 << 20)).Errno);
        Assert.Equal(Errno.EINVAL, Assert.Throws<ZfsException>(() => p.Spa.SetLimit("tank", "speed", 1)).Errno);
        Assert.Equal(Errno.EINVAL, Assert.Throws<ZfsException>(() => p.Spa.SetLimit("tank", "quota", ulong.MaxValue)).Errno);
        Assert.Equal(0, p.Write(p.Find(p.RootDir, "f"), 0, Data(Piece)));
        p.Judge();
        Assert.Equal(64UL << 20, p.Spa.GetLimit("tank", "quota"));
        Assert.Equal(64UL << 20, p.Spa.GetLimit("tank", "refquota"));
    }, seeds: 2);

    [Fact]
    public void Df_shows_the_quota_as_the_size() => Backends.Run(() =>
    {
        using var p = new ZplPool();
        Assert.Equal(0, p.Write(p.Make(p.RootDir, "f"), 0, Data(2 << 20)));
        p.Spa.Sync();
        Assert.Equal(0, p.Fs.StatFs(out StatFs before));
        p.Spa.SetLimit("tank", "refquota", Quota);
        Assert.Equal(0, p.Fs.StatFs(out StatFs stat));
        Assert.Equal(Quota / 512, stat.Blocks);
        Assert.InRange(stat.BlocksAvailable, 1UL, (Quota - (2 << 20)) / 512);
        Assert.True(before.Blocks > stat.Blocks);
        p.Spa.SetLimit("tank", "refquota", 0);
        p.Spa.SetLimit("tank", "refreservation", 32 << 20);
        Assert.Equal(0, p.Fs.StatFs(out StatFs reserved));
        Assert.InRange(reserved.Blocks, before.Blocks - 2048, before.Blocks);
    }, seeds: 2);

    [Fact]
    public void What_a_refreservation_has_left_shrinks_and_grows_with_what_is_referred_to() => Backends.Run(() =>
    {
        const ulong Reserved = 16 << 20;
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        p.Spa.Sync();
        ulong used = p.Spa.RootDir.UsedBytes;
        p.Spa.SetLimit("tank", "refreservation", Reserved);
        Assert.True(p.Spa.RootDir.UsedBytes > used + Reserved - (1 << 20));
        ulong whole = p.Spa.RootDir.RefReservedUnused;
        ulong all = p.Spa.RootDir.UsedBytes;
        Assert.Equal((long)whole, p.Spa.UnusedReserved);
        Assert.Equal(0, p.Write(file, 0, Data(4 << 20)));
        p.Spa.Sync();
        Assert.InRange(p.Spa.RootDir.RefReservedUnused, whole - (5 << 20), whole - (4 << 20));
        Assert.InRange(p.Spa.RootDir.UsedBytes, all - (1 << 20), all + (1 << 20));
        p.Judge();

        // Through the reservation, and out again.
        Assert.Equal(0, p.Write(file, 0, Data(20 << 20)));
        p.Spa.Sync();
        Assert.Equal(0UL, p.Spa.RootDir.RefReservedUnused);
        Assert.Equal(0, p.Truncate(file, 1 << 20));
        p.Spa.Sync();
        Assert.InRange(p.Spa.RootDir.RefReservedUnused, whole - (2 << 20), whole - (1 << 20));
        Assert.Equal((long)p.Spa.RootDir.RefReservedUnused, p.Spa.UnusedReserved);
        p.Judge();
        p.Spa.SetLimit("tank", "refreservation", 0);
        Assert.Equal(0, p.Spa.UnusedReserved);
        p.Judge();
    }, seeds: 2);

    [Fact]
    public void A_reservation_that_the_properties_and_the_account_disagree_on_makes_the_pool_read_only() => Backends.Run(() =>
    {
        using var p = new ZplPool();
        p.Spa.SetLimit("tank", "refreservation", 16 << 20);
        ulong dir = p.Spa.RootDir.Object;
        MemoryVdevIo? disk = null;
        p.Edit(e =>
        {
            e.AddToBonus(0, dir, 104 + (8 * DslDirPhys.UsedRefReserved), 512);
            e.AddToBonus(0, dir, 40, 512);
            disk = p.CrashImage();
            e.AddToBonus(0, dir, 104 + (8 * DslDirPhys.UsedRefReserved), -512);
            e.AddToBonus(0, dir, 40, -512);
        });
        using (PoolReader pool = PoolReader.Open([disk!]))
        {
            Assert.Contains("(REFRSRV)", Assert.Single(PoolChecker.Run(pool).Findings).ToString(), StringComparison.Ordinal);
        }

        ZplPool.With(disk!, static spa => Assert.Contains("refreservation", spa.ReadOnlyReason, StringComparison.Ordinal));
    }, seeds: 1);

    private static ulong Used(ZplPool p, string limit) => limit == "quota" ? p.Spa.RootDir.UsedBytes : p.Objset.Dataset!.UsedBytes;

    /// <summary>Appends to a file until it is refused.</summary>
    private static int Fill(ZplPool p, ulong file)
    {
        byte[] data = Data(Piece);
        for (ulong at = 0; at < 4 * Quota; at += Piece)
        {
            int error = p.Write(file, at, data);
            if (error != 0)
            {
                return error;
            }
        }

        return 0;
    }

    private static byte[] Data(int length)
    {
        var data = new byte[length];
        data.AsSpan().Fill(0x71);
        return data;
    }
}
