using Xunit;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace Fs.Tests.Dmu;

/// <summary>The DMU and the pool's sync against a model, with reopening, on both back ends.</summary>
public sealed class DmuModelTests
{
    [Theory]
    [InlineData(9)]
    [InlineData(12)]
    public void WhatWasWrittenIsReadBackAfterEveryReopen(int ashift)
    {
        ulong seed = 1;
        Backends.Run(
            () =>
            {
                using var memory = new KmemScope(24 << 20) { Failed = true };
                MemoryVdevIo io = TestPool.Format(128 << 20, ashift);
                var model = new DmuModel(seed++);
                for (int round = 0; round < 3; round++)
                {
                    Spa spa = TestPool.Open(io.Clone());
                    io = (MemoryVdevIo)spa.Vdevs[0].Io;
                    Objset os = spa.OpenObjset("tank");
                    model.CheckAll(os);
                    for (int i = 0; i < (Backends.IsSim ? 60 : 700); i++)
                    {
                        model.Step(spa, os);
                    }

                    Assert.Equal(0, spa.Sync());
                    model.CheckAll(os);
                    MemoryVdevIo copy = Close(spa, os, io);
                    io = copy;
                }

                memory.Failed = false;
            },
            seeds: 6,
            options: new SimOptions { MaxSteps = 50_000_000 });
    }

    [Fact]
    public void SeveralWritersAtOnceKeepTheirObjects()
    {
        ulong seed = 100;
        Backends.Run(
            () =>
            {
                using var memory = new KmemScope(24 << 20) { Failed = true };
                Spa spa = TestPool.Open(TestPool.Format());
                Objset os = spa.OpenObjset("tank");
                ulong first = seed;
                seed += 4;
                var models = new DmuModel[3];
                Backends.Parallel(3, n =>
                {
                    models[n] = new DmuModel(first + (ulong)n);
                    for (int i = 0; i < (Backends.IsSim ? 40 : 600); i++)
                    {
                        models[n].Step(spa, os);
                        if (i % 50 == 49)
                        {
                            Assert.Equal(0, spa.Sync());
                        }
                    }
                });
                foreach (DmuModel m in models)
                {
                    m.CheckAll(os);
                }

                MemoryVdevIo copy = Close(spa, os, (MemoryVdevIo)spa.Vdevs[0].Io);
                spa = TestPool.Open(copy);
                os = spa.OpenObjset("tank");
                foreach (DmuModel m in models)
                {
                    m.CheckAll(os);
                }

                _ = Close(spa, os, copy);
                memory.Failed = false;
            },
            seeds: 6,
            options: new SimOptions { MaxSteps = 50_000_000 });
    }

    [OsFact]
    public void AFullPoolKeepsWhatWasWrittenAndCanBeEmptiedAgain()
    {
        Backends.Run(() =>
        {
            using var memory = new KmemScope(24 << 20) { Failed = true };
            Spa spa = TestPool.Open(TestPool.Format(64 << 20));
            Objset os = spa.OpenObjset("tank");
            long before = spa.Allocator.AllocatedBytes;
            var model = new DmuModel(5);
            for (int i = 0; i < 20_000 && model.NoSpace < 20; i++)
            {
                model.Step(spa, os);
            }

            Assert.Equal(20, model.NoSpace);
            model.CheckAll(os);
            model.FreeAll(spa, os);
            Assert.Equal(0, model.ObjectCount);
            for (int i = 0; i < 4; i++)
            {
                Assert.Equal(0, spa.Sync());
            }

            Assert.InRange(spa.Allocator.AllocatedBytes, 1, before + (4 << 20));
            _ = Close(spa, os, (MemoryVdevIo)spa.Vdevs[0].Io);
            memory.Failed = false;
        });
    }

    private static MemoryVdevIo Close(Spa spa, Objset os, MemoryVdevIo io)
    {
        spa.CloseObjset(os);
        Assert.False(spa.IsSuspended, spa.SuspendReason);
        _ = spa.Sync();
        MemoryVdevIo? copy = null;
        spa.BeforeDevicesClose = () => copy = io.Clone();
        spa.Close();
        Assert.NotNull(copy);
        return copy;
    }
}
