using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>
/// The sync path lives on its pools alone (see SyncPool): every ordinary allocation of its threads fails, or stalls for good, and
/// each txg reaches the disk all the same. The smallest arena; nobody else is kept from allocating.
/// </summary>
public sealed class SyncMemoryTests
{
    private const int Record = 131072;

    [Fact]
    public void Files_of_all_kinds_reach_the_disk_on_pools_alone() => Backends.Run(static () => Mixed(pools: true), seeds: 3, options: Sim, timeoutMs: 300_000);

    [Fact]
    public void Records_far_apart_reach_the_disk_on_pools_alone() => Backends.Run(static () => FarApart(pools: true), seeds: 2, options: Sim, timeoutMs: 300_000);

    [Fact]
    public void A_fragmented_pool_reaches_the_disk_on_pools_alone() => Backends.Run(static () => Fragmented(pools: true), seeds: 2, options: Sim, timeoutMs: 300_000);

    [SimFact]
    public void Without_pools_none_of_them_does()
    {
        foreach (Action<bool> body in (Action<bool>[])[Mixed, FarApart, Fragmented])
        {
            SimResult r = SimWorld.Run(Sim, () => body(false));
            Assert.True(r.Failure is KmemExhaustedException, r.ToString());
        }
    }

    private static SimOptions Sim => new() { MaxSteps = 200_000_000 };

    private static void Mixed(bool pools)
    {
        using ZplPool p = Make(pools, Record);
        p.Objset.Compression = ZioCompressType.Lzjb;
        var random = new Random(1);
        var contents = new Dictionary<string, byte[]>();
        for (int i = 0; i < 40; i++)
        {
            Put(p, contents, "f" + i, Data(random, 3000 * (i % 30)));
        }

        Put(p, contents, "large", Data(random, 6 * Record));
        Assert.Equal(0, p.Spa.Sync());
        UnderFault(p, () =>
        {
            for (int round = 0; round < 4; round++)
            {
                for (int i = 0; i < 20; i++)
                {
                    Put(p, contents, $"g{round}.{i}", Data(random, 1000 * random.Next(60)));
                    Put(p, contents, "f" + random.Next(40), Data(random, 1000 * random.Next(90)));
                }

                string gone = $"g{round}.7";
                Assert.Equal(0, p.Unlink(p.RootDir, gone));
                _ = contents.Remove(gone);
                byte[] large = contents["large"];
                random.NextBytes(large.AsSpan(round * Record / 2, Record));
                Assert.Equal(0, p.Write(p.Find(p.RootDir, "large"), 0, large));
                Put(p, contents, "huge" + round, Data(random, 20 * Record));
                Assert.Equal(0, p.Truncate(p.Find(p.RootDir, "huge" + round), Record + 5));
                contents["huge" + round] = contents["huge" + round][..(Record + 5)];
                _ = p.MakeDir(p.RootDir, "d" + round);
                _ = p.Spa.Arc.Evict(long.MaxValue);
                Assert.Equal(0, p.Spa.Sync());
            }
        });
        foreach ((string name, byte[] data) in contents)
        {
            Assert.Equal(data, p.Read(p.Find(p.RootDir, name)));
        }

        p.Judge();
    }

    private static void FarApart(bool pools)
    {
        const int Small = 4096;
        const ulong Stride = 128 * Small;
        const int Blocks = 400;
        using ZplPool p = Make(pools, Small);
        ulong file = p.Make(p.RootDir, "sparse");
        byte[] data = new byte[Small];
        Assert.Equal(0, p.Truncate(file, Stride * Blocks));
        Assert.Equal(0, p.Spa.Sync());
        UnderFault(p, () =>
        {
            for (int i = 0; i < Blocks; i++)
            {
                ulong at = (ulong)(i * 7 % Blocks);
                Array.Fill(data, (byte)(at + 1));
                Assert.Equal(0, p.Write(file, at * Stride, data));
            }

            Assert.Equal(0, p.Spa.Sync());

            // Holes leave their indirect blocks changed.
            for (int i = 0; i < Blocks; i += 3)
            {
                Assert.Equal(0, p.Write(file, ((ulong)i * Stride) + Small, data));
            }

            Assert.Equal(0, p.Spa.Sync());
            for (int i = 0; i < Blocks; i += 3)
            {
                Assert.Equal(0, p.Fs.Fallocate(file, 3, (ulong)i * Stride, Small));
            }

            Assert.Equal(0, p.Spa.Sync());
        });
        for (int i = 0; i < Blocks; i++)
        {
            Assert.Equal(i % 3 == 0 ? 0 : (byte)(i + 1), p.Read(file, (ulong)i * Stride, 1)[0]);
        }

        p.Judge();
    }

    private static void Fragmented(bool pools)
    {
        const int Small = 512;
        const int Blocks = 4000;
        using ZplPool p = Make(pools, Small);
        ulong file = p.Make(p.RootDir, "f");
        byte[] data = new byte[Small * Blocks];
        new Random(2).NextBytes(data);
        Assert.Equal(0, p.Write(file, 0, data));
        Assert.Equal(0, p.Spa.Sync());
        UnderFault(p, () =>
        {
            for (int round = 0; round < 3; round++)
            {
                for (int i = round; i < Blocks; i += 3)
                {
                    data[i * Small]++;
                    Assert.Equal(0, p.Write(file, (ulong)(i * Small), data.AsSpan(i * Small, Small)));
                }

                _ = p.Spa.Arc.Evict(long.MaxValue);
                Assert.Equal(0, p.Spa.Sync());
            }
        });
        Assert.Equal(data, p.Read(file));
        p.Judge();
    }

    private static ZplPool Make(bool pools, int recordSize) => new(
        new KmemOptions
        {
            ArenaBytes = KmemOptions.MinArenaBytes,
            LockArena = false,
            FaultPoints = true,
            UseMempools = pools,
            OomTimeoutNs = 5_000_000_000,
        },
        recordSize: recordSize);

    private static void UnderFault(ZplPool p, Action body)
    {
        using var fault = new AllocationFault(static t => (t.Flags & ThreadFlags.SyncPath) != 0);
        body();
        IReadOnlyList<MempoolStats> pools = KmemStats.Snapshot().Mempools;
        Assert.Equal(0, fault.Stalled);
        Assert.NotEqual(0, fault.Failed);
        Assert.All(pools, static s => Assert.Equal(0, s.Waits));
        Assert.NotEqual(0, pools.Single(static s => s.Name == "zio_sync_16384").FromReserve);
    }

    private static void Put(ZplPool p, Dictionary<string, byte[]> contents, string name, byte[] data)
    {
        ulong obj = contents.ContainsKey(name) ? p.Find(p.RootDir, name) : p.Make(p.RootDir, name);
        Assert.Equal(0, p.Truncate(obj, 0));
        Assert.Equal(0, p.Write(obj, 0, data));
        contents[name] = data;
    }

    private static byte[] Data(Random random, int length)
    {
        byte[] data = new byte[length];
        random.NextBytes(data.AsSpan(0, length / 2));
        return data;
    }
}
