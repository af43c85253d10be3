using Xunit;
using ZfsLite.Fs;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;
using ZfsLite.Txn;

namespace Fs.Tests.Dmu;

/// <summary>Races between readers, writers, the sync thread and the evictor, each by the schedule that once broke it.</summary>
public sealed unsafe class DmuRaceTests
{
    private const int Bs = 4096;

    [Fact]
    public void ABlockThatAReaderIsFillingWhileItIsFreedReadsAsZerosAfterwards() => Backends.Run(
        () =>
        {
            using var memory = new KmemScope(24 << 20) { Failed = true };
            MemoryVdevIo io = TestPool.Format();
            ulong obj = 0;
            using (var first = new Pool(io.Clone()))
            {
                io = first.Io;
                obj = first.Create(Bs, 4);
                io = first.CloseAndCopy();
            }

            var disk = new SimVdevIo(io, 1);
            using (var pool = new Pool(disk))
            {
                Dnode dn = pool.Os.HoldObject(obj);
                disk.LatencyNs = 5_000_000;
                Kthread reader = Kthread.Start("reader", () => dn.Prefetch(2));
                Kthread freer = Kthread.Start("freer", () =>
                {
                    Kthread.Sleep(6_000_000);
                    DmuTx tx = DmuTx.Create(pool.Spa.Txg);
                    tx.HoldFree(dn, 2 * Bs, Bs);
                    Assert.Equal(0, tx.Assign(TxAssign.Wait));
                    dn.FreeRange(2 * Bs, Bs, tx);
                    tx.Commit();
                });
                reader.Join();
                freer.Join();
                disk.LatencyNs = 0;
                ulong word;
                dn.Read((2 * Bs) + 8, 8, (byte*)&word);
                Assert.Equal(0UL, word);
                dn.Release();
            }

            memory.Failed = false;
        },
        seeds: 20,
        osRounds: 5);

    [Fact]
    public void ManyMayLetGoOfTheSameEmptyBlockAtOnce() => Backends.Run(
        () =>
        {
            using var memory = new KmemScope(24 << 20) { Failed = true };
            using (var pool = new Pool(TestPool.Format(64 << 20)))
            {
                ulong obj = pool.Create(Bs, 1);
                Dnode dn = pool.Os.HoldObject(obj);
                Backends.Parallel(3, _ =>
                {
                    for (int i = 0; i < (Backends.IsSim ? 6 : 200_000); i++)
                    {
                        dn.HoldUnread(5 + (ulong)(i & 1)).Release();
                    }
                });
                dn.Release();
            }

            memory.Failed = false;
        },
        seeds: 60);

    [Fact]
    public void ABonusIsWrittenAsItsTxgLeftIt() => Backends.Run(
        () =>
        {
            using var memory = new KmemScope(24 << 20) { Failed = true };
            using (var pool = new Pool(TestPool.Format(64 << 20)))
            {
                Dnode dn = pool.Os.HoldObject(pool.Create(Bs, 1));
                int stop = 0;
                Kthread writer = Kthread.Start("writer", () =>
                {
                    while (Katomic.Load(ref stop) == 0)
                    {
                        pool.ChangeBonus(dn, static (_, txg) => txg);
                        ulong onDisk = *(ulong*)DnodePhys.BonusOf(dn.Phys);
                        ulong syncing = pool.Spa.Txg.SyncingTxg;
                        Assert.True(onDisk <= syncing, $"txg {syncing} is written with a bonus of txg {onDisk}");
                        Kthread.Yield();
                    }
                });
                for (int i = 0; i < (Backends.IsSim ? 3 : 40); i++)
                {
                    Assert.Equal(0, pool.Spa.Sync());
                }

                Katomic.Store(ref stop, 1);
                writer.Join();
                dn.Release();
            }

            memory.Failed = false;
        },
        seeds: 40);

    [Fact]
    public void AnObjectLoadedWhileOthersChangeItIsNeverAnOldOne() => Backends.Run(
        () =>
        {
            using var memory = new KmemScope(new KmemOptions { ArenaBytes = 24 << 20, TortureReclaim = 1, LockArena = false }) { Failed = true };
            var slow = new SlowReclaim();
            Shrinkers.Register(slow);
            using (var pool = new Pool(TestPool.Format(64 << 20)))
            {
                ulong obj = pool.Create(Bs, 0);
                long committed = 0;
                int stop = 0;
                Kthread reader = Kthread.Start("reader", () =>
                {
                    while (Katomic.Load(ref stop) == 0)
                    {
                        long before = Katomic.Load(ref committed);
                        Dnode dn = pool.Os.HoldObject(obj);
                        long seen = *(long*)dn.Bonus;
                        Assert.True(seen >= before, $"value {seen} after {before} was committed");

                        // Whoever else wants the object meanwhile gets this one.
                        Kthread.Yield();
                        Kthread.Yield();
                        dn.Release();
                    }
                });
                for (int i = 1; i <= 12; i++)
                {
                    Dnode dn = pool.Os.HoldObject(obj);
                    Assert.Equal(i - 1, *(long*)dn.Bonus);
                    pool.ChangeBonus(dn, static (old, _) => old + 1);
                    dn.Release();
                    Katomic.Store(ref committed, i);
                    Assert.Equal(0, pool.Spa.Sync());
                }

                Katomic.Store(ref stop, 1);
                reader.Join();
            }

            Shrinkers.Unregister(slow);
            memory.Failed = false;
        },
        seeds: 20);

    [Fact]
    public void AnObjectSetCanBeClosedWhileItsBlocksAreEvicted() => Backends.Run(
        () =>
        {
            using var memory = new KmemScope(24 << 20) { Failed = true };
            using (var pool = new Pool(TestPool.Format(64 << 20)))
            {
                for (int round = 0; round < (Backends.IsSim ? 2 : 20); round++)
                {
                    _ = pool.Create(512, 12);
                    Assert.Equal(0, pool.Spa.Sync());
                    int stop = 0;
                    Kthread evictor = Kthread.Start("evictor", () =>
                    {
                        while (Katomic.Load(ref stop) == 0)
                        {
                            _ = pool.Spa.Arc.Evict(2048);
                            Kthread.Yield();
                        }
                    });
                    pool.Reopen();
                    Katomic.Store(ref stop, 1);
                    evictor.Join();
                }
            }

            memory.Failed = false;
        },
        seeds: 200);

    [Fact]
    public void CopiesChangedWhileDataIsDirtyLeaveTheSpaceAccountRight() => Backends.Run(
        () =>
        {
            using var memory = new KmemScope(24 << 20) { Failed = true };
            using (var pool = new Pool(TestPool.Format()))
            {
                _ = pool.Create(Bs, 200);
                pool.Os.Copies = 3;
                _ = pool.Create(Bs, 200);
                pool.Os.Copies = 1;
                for (int i = 0; i < 3; i++)
                {
                    Assert.Equal(0, pool.Spa.Sync());
                }

                Assert.Equal(pool.Spa.TotalBytes - pool.Spa.SlopBytes - pool.Spa.Allocator.AllocatedBytes, pool.Spa.AvailableBytes);
            }

            memory.Failed = false;
        },
        seeds: 1);

    [OsFact]
    public void ManyNewObjectsWithoutDataAreHeldBackByTheDirtyLimit() => Backends.Run(() =>
    {
        using var memory = new KmemScope(16 << 20) { Failed = true };
        using (var pool = new Pool(TestPool.Format(512 << 20)))
        {
            long most = 0;
            for (int i = 0; i < 40_000; i++)
            {
                DmuTx tx = DmuTx.Create(pool.Spa.Txg);
                tx.HoldNewObject(pool.Os);
                Assert.Equal(0, tx.Assign(TxAssign.Wait));
                Dnode dn = pool.Os.AllocateObject(DmuOt.PlainOther, 512, DmuOt.Uint64Other, 8, tx);
                tx.Commit();
                dn.Release();
                most = Math.Max(most, pool.Spa.DnodeCache.Statistics().ObjectsAllocated * (long)Dnode.NativeBytes);
            }

            Assert.InRange(most, 1, memory.System.ArenaBytes / 2);
            Assert.Equal(0, pool.Spa.Sync());
            for (ulong obj = 100; obj < 39_000; obj += 37)
            {
                if (pool.Os.TryHoldObject(obj) is { } dn)
                {
                    pool.ChangeBonus(dn, (_, _) => obj);
                    dn.Release();
                }
            }

            using PoolReader reader = PoolReader.Open([pool.CloseAndCopy()]);
            Assert.Equal([], PoolChecker.Run(reader).Findings.Where(static f => f.Severity == CheckSeverity.Error).Select(static f => f.ToString()));
        }

        memory.Failed = false;
    });

    [OsFact]
    public void TinyBlocksOnLargeSectorsFillThePoolWithoutSuspendingIt() => Backends.Run(() =>
    {
        using var memory = new KmemScope(64 << 20) { Failed = true };
        using (var pool = new Pool(TestPool.Format(96 << 20, 12)))
        {
            byte* data = stackalloc byte[512];
            var random = new SplitMix(3);
            int error = 0;
            for (int i = 0; i < 200_000 && error == 0; i++)
            {
                DmuTx tx = DmuTx.Create(pool.Spa.Txg);
                tx.HoldNewObject(pool.Os, 512);
                error = tx.Assign(TxAssign.Wait);
                if (error != 0)
                {
                    tx.Abort();
                    break;
                }

                Dnode dn = pool.Os.AllocateObject(DmuOt.PlainOther, 512, DmuOt.Uint64Other, 8, tx);
                *(ulong*)data = random.NextUInt64();
                dn.Write(0, 512, data, tx);
                tx.Commit();
                dn.Release();
            }

            Assert.Equal(Errno.ENOSPC, error);
            Assert.Equal(0, pool.Spa.Sync());
        }

        memory.Failed = false;
    });

    /// <summary>Memory is slow to come for the reader: whatever he was about to do, a txg passes first.</summary>
    private sealed class SlowReclaim : IShrinker
    {
        public string Name => "slow";

        public long Count(in ShrinkControl control) => Kthread.Current.Name == "reader" ? 1 : 0;

        public long Scan(in ShrinkControl control, long toScan)
        {
            Kthread.Sleep(3_000_000);
            return 0;
        }
    }

    /// <summary>A pool with its object set open.</summary>
    private sealed class Pool : IDisposable
    {
        private bool _closed;

        internal Pool(IVdevIo io)
        {
            Spa = TestPool.Open(io);
            Os = Spa.OpenObjset("tank");
        }

        internal Spa Spa { get; }

        internal Objset Os { get; private set; }

        internal MemoryVdevIo Io => (MemoryVdevIo)Spa.Vdevs[0].Io;

        internal ulong Create(int blockSize, int blocks)
        {
            DmuTx tx = DmuTx.Create(Spa.Txg);
            tx.HoldNewObject(Os, (long)blockSize * blocks);
            Assert.Equal(0, tx.Assign(TxAssign.Wait));
            Dnode dn = Os.AllocateObject(DmuOt.PlainOther, blockSize, DmuOt.Uint64Other, 8, tx);
            byte* data = KmemAllocator.Alloc(blockSize, tx.AllocFlags);
            new Span<byte>(data, blockSize).Fill(0x77);
            for (int i = 0; i < blocks; i++)
            {
                dn.Write((ulong)i * (ulong)blockSize, blockSize, data, tx);
            }

            KmemAllocator.Free(data, blockSize);
            ulong obj = dn.Object;
            tx.Commit();
            dn.Release();
            return obj;
        }

        internal void ChangeBonus(Dnode dn, Func<ulong, ulong, ulong> next)
        {
            DmuTx tx = DmuTx.Create(Spa.Txg);
            tx.HoldBonus(dn);
            Assert.Equal(0, tx.Assign(TxAssign.Wait));
            dn.DirtyBonus(tx);
            *(ulong*)dn.Bonus = next(*(ulong*)dn.Bonus, tx.Txg);
            tx.Commit();
        }

        internal void Reopen()
        {
            Spa.CloseObjset(Os);
            Os = Spa.OpenObjset("tank");
        }

        internal MemoryVdevIo CloseAndCopy()
        {
            MemoryVdevIo? copy = null;
            MemoryVdevIo io = Io;
            Spa.BeforeDevicesClose = () => copy = io.Clone();
            Dispose();
            return copy!;
        }

        public void Dispose()
        {
            if (_closed)
            {
                return;
            }

            _closed = true;
            Spa.CloseObjset(Os);
            Assert.False(Spa.IsSuspended, Spa.SuspendReason);
            Spa.Close();
        }
    }
}
