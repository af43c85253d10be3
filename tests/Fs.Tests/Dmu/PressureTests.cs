using Xunit;
using ZfsLite.Fs;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace Fs.Tests.Dmu;

/// <summary>The smallest arena, more data than it holds, and reclaim at one allocation in eight: nobody waits for himself, nothing is lost.</summary>
public sealed unsafe class PressureTests
{
    [Fact]
    public void WritersAndReadersInTheSmallestArenaUnderTortureComeToAnEnd()
    {
        ulong seed = 400;
        Backends.Run(
            () =>
            {
                using var memory = new KmemScope(new KmemOptions
                {
                    ArenaBytes = KmemOptions.MinArenaBytes,
                    Policy = KmemPolicy.Fstrans,
                    TortureReclaim = 8,
                    Poison = true,
                    LockArena = false,
                })
                { Failed = true };
                Spa spa = TestPool.Open(TestPool.Format(256 << 20));
                Objset os = spa.OpenObjset("tank");
                ulong first = seed;
                seed += 3;
                var models = new DmuModel[3];
                int left = 3;
                Kthread reader = Kthread.Start("reader", () => ReadEverything(spa, os, ref left));
                Kthread evictor = Kthread.Start("evictor", () => EvictOften(spa, ref left));
                Backends.Parallel(3, n =>
                {
                    models[n] = new DmuModel(first + (ulong)n);
                    for (int i = 0; i < (Backends.IsSim ? 25 : 1500); i++)
                    {
                        models[n].Step(spa, os);
                    }

                    _ = Katomic.Decrement(ref left);
                });
                reader.Join();
                evictor.Join();
                foreach (DmuModel m in models)
                {
                    m.CheckAll(os);
                }

                spa.CloseObjset(os);
                Assert.False(spa.IsSuspended, spa.SuspendReason);
                MemoryVdevIo io = (MemoryVdevIo)spa.Vdevs[0].Io;
                MemoryVdevIo? copy = null;
                spa.BeforeDevicesClose = () => copy = io.Clone();
                spa.Close();
                using (PoolReader pool = PoolReader.Open([copy!]))
                {
                    Assert.Equal([], PoolChecker.Run(pool).Findings.Where(static f => f.Severity == CheckSeverity.Error).Select(static f => f.ToString()));
                }

                memory.Failed = false;
            },
            seeds: 8,
            options: new SimOptions { MaxSteps = 6_000_000 });
    }

    private static void ReadEverything(Spa spa, Objset os, ref int left)
    {
        byte* data = stackalloc byte[4096];
        for (ulong obj = 2; Katomic.Load(ref left) > 0; obj = obj > 400 ? 2 : obj + 1)
        {
            if (os.TryHoldObject(obj) is { } dn)
            {
                if (dn.Type == DmuOt.PlainOther)
                {
                    dn.Read(0, 4096, data);
                    dn.Prefetch(1);
                    dn.Prefetch(3);
                    _ = dn.NextOffset(0, hole: true, out _);
                    _ = dn.NextOffset(0, hole: false, out _);
                }

                dn.Release();
            }

            Kthread.Yield();
        }

        Assert.False(spa.IsSuspended, spa.SuspendReason);
    }

    private static void EvictOften(Spa spa, ref int left)
    {
        while (Katomic.Load(ref left) > 0)
        {
            _ = spa.Arc.Evict(32 << 10);
            Kthread.Yield();
        }
    }
}
