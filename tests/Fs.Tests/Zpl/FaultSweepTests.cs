using Xunit;
using Xunit.Abstractions;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>
/// The k-th allocation fails, through mount, write, sync and unmount of a small pool: one that must not sleep gives null, one that may has its
/// thread reclaim and try again. Every operation succeeds all the same, every byte is kept, and the pool is clean. For every k until a
/// run meets no failure. With the engine of the test run.
/// </summary>
public sealed class FaultSweepTests(ITestOutputHelper output)
{
    [SimFact]
    public void The_kth_allocation_fails_for_every_k()
    {
        (long runs, long failed, long stalled) = (0, 0, 0);
        while (true)
        {
            (long Failed, long Stalled) hit = default;
            long k = runs + 1;
            SimResult r = SimWorld.Run(new SimOptions { Seed = 1, MaxSteps = 200_000_000 }, () => hit = Run(k));
            Assert.True(r.Outcome == SimOutcome.Completed, $"allocation {k} fails: {r}\n{r.Failure}");
            runs++;
            failed += hit.Failed;
            stalled += hit.Stalled;
            if (hit is (0, 0))
            {
                break;
            }
        }

        output.WriteLine($"{runs} runs: {failed} gave null, {stalled} reclaimed");
        Assert.True(failed > 0 && stalled > 0, $"{failed} gave null, {stalled} reclaimed: hardly a sweep");
    }

    private static (long Failed, long Stalled) Run(long k)
    {
        using var p = new ZplPool(
            new KmemOptions
            {
                ArenaBytes = KmemOptions.MinArenaBytes,
                LockArena = false,
                SlabDebug = SlabDebugSpec.Parse("A"),
            },
            recordSize: 4096,
            diskBytes: 64 << 20);
        KmemTunables.Set("failslab", "ignore-gfp-wait", "0");
        KmemTunables.Set("failslab", "nth", k.ToString(System.Globalization.CultureInfo.InvariantCulture));
        var contents = new Dictionary<string, byte[]>();
        p.Remount();
        Put(p, contents, "a", 10_000);
        Put(p, contents, "b", 100);
        Assert.Equal(0, p.Spa.Sync());
        Put(p, contents, "a", 600);
        ulong dir = p.MakeDir(p.RootDir, "d");
        Assert.Equal(0, p.Rename(p.RootDir, "b", dir, "c"));
        Assert.Equal(0, p.Unlink(dir, "c"));
        _ = contents.Remove("b");
        p.Remount();
        (long, long) hit = (long.Parse(KmemTunables.Get("failslab", "failed")), long.Parse(KmemTunables.Get("failslab", "stalled")));
        KmemTunables.Set("failslab", "nth", "0");
        foreach ((string name, byte[] data) in contents)
        {
            Assert.Equal(data, p.Read(p.Find(p.RootDir, name)));
        }

        p.Judge(zdb: false);
        return hit;
    }

    private static void Put(ZplPool p, Dictionary<string, byte[]> contents, string name, int length)
    {
        byte[] data = new byte[length];
        new Random(length).NextBytes(data);
        ulong obj = contents.ContainsKey(name) ? p.Find(p.RootDir, name) : p.Make(p.RootDir, name);
        Assert.Equal(0, p.Truncate(obj, 0));
        Assert.Equal(0, p.Write(obj, 0, data));
        contents[name] = data;
    }
}
