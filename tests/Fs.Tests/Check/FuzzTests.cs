using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Hostile images: whatever the bytes, reading and checking end in time, with errors and no other exception.</summary>
[Trait("Backend", "os")]
public sealed unsafe class FuzzTests : IDisposable
{
    private const long MaxRunNs = 20_000_000_000;

    private readonly KmemScope _kmem = new(64 << 20);

    public void Dispose() => _kmem.Dispose();

    [Fact]
    public void Random_bytes_in_allocated_space_end_in_findings()
    {
        MemoryVdevIo clean = GoldenPools.LoadAll("goldmini")[0];
        List<ulong> sectors = AllocatedSectors(clean);
        for (int seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            MemoryVdevIo io = clean.Clone();
            for (int k = random.Next(1, 40); k > 0; k--)
            {
                Poke(io, (long)(sectors[random.Next(sectors.Count)] + Vdev.DataStart) + random.Next(512), (byte)random.Next(256));
            }

            Exercise(io, seed);
        }
    }

    [Fact]
    public void Random_structures_under_right_checksums_end_in_findings()
    {
        MemoryVdevIo clean = GoldenPools.LoadAll("goldmini")[0];
        for (int seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            MemoryVdevIo io = clean.Clone();
            for (int k = random.Next(1, 4); k > 0; k--)
            {
                // An edit that makes the way to the next one impassable is enough.
                try
                {
                    EditSomething(new PoolEditor(io), random);
                }
                catch (Exception e) when (e is InvalidOperationException or IndexOutOfRangeException or ArgumentException)
                {
                    break;
                }
            }

            Exercise(io, seed);
        }
    }

    [GoldenFact("golda12")]
    public void Random_structures_in_compressed_metadata_end_in_findings()
    {
        MemoryVdevIo clean = GoldenPools.LoadAll("golda12")[0];
        int edited = 0;
        for (int seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            MemoryVdevIo io = clean.Clone();
            try
            {
                EditSomething(new PoolEditor(io), random);
                edited++;
            }
            catch (Exception e) when (e is InvalidOperationException or IndexOutOfRangeException or ArgumentException)
            {
                continue;
            }

            Exercise(io, seed);
        }

        Assert.True(edited > 15, $"only {edited} edits fitted");
    }

    [Fact]
    public void Random_labels_end_in_an_error_or_a_pool()
    {
        MemoryVdevIo clean = GoldenPools.LoadAll("goldmini")[0];
        for (int seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            MemoryVdevIo io = clean.Clone();
            var area = new byte[VdevLabel.ConfigSize];
            fixed (byte* p = area)
            {
                Assert.Equal(0, io.Read(VdevLabel.ConfigOffset, p, area.Length));
                for (int k = random.Next(1, 6); k > 0; k--)
                {
                    area[random.Next(1000)] = (byte)random.Next(256);
                }

                for (int label = 0; label < VdevLabel.Count; label++)
                {
                    long at = VdevLabel.OffsetOf(label, io.Size) + VdevLabel.ConfigOffset;
                    ZioEck.Seal(p, area.Length, ZioEck.LabelVerifier(at));
                    Assert.Equal(0, io.Write(at, [new IoSegment((nint)p, area.Length)]));
                }
            }

            Exercise(io, seed);
        }
    }

    [Fact]
    public void A_truncated_device_is_refused()
    {
        MemoryVdevIo clean = GoldenPools.LoadAll("goldmini")[0];
        using var whole = new MemoryStream();
        clean.Save(whole);
        foreach (int size in (int[])[0, 512, 262144, 1 << 20, 8 << 20, 32 << 20])
        {
            using var cut = new MemoryStream(whole.ToArray(), 0, size);
            Assert.NotEqual(0, Assert.Throws<ZfsException>(() => PoolReader.Open([MemoryVdevIo.Load(cut)])).Errno);
        }
    }

    private static void Exercise(MemoryVdevIo io, int seed)
    {
        long start = Kclock.NowNs;
        try
        {
            using PoolReader pool = PoolReader.Open([io]);
            _ = PoolChecker.Run(pool, new CheckOptions { MaxFindings = 100 });
            foreach (OfflineDataset ds in pool.Datasets().Take(20))
            {
                ReadAll(pool, ds);
            }
        }
        catch (ZfsException e)
        {
            Assert.NotEqual("", e.Message);
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"seed {seed}", e);
        }

        Assert.True(Kclock.NowNs - start < MaxRunNs, $"seed {seed} took {(Kclock.NowNs - start) / 1_000_000} ms");
    }

    private static void ReadAll(PoolReader pool, OfflineDataset ds)
    {
        try
        {
            OfflineZpl zpl = pool.OpenFileSystem(ds);
            var buffer = new byte[4096];
            foreach ((_, ulong obj) in zpl.Tree().Take(200))
            {
                try
                {
                    _ = zpl.ReadFile(obj, 0, buffer);
                    _ = zpl.ReadXattrs(obj);
                    _ = zpl.ReadLink(obj);
                }
                catch (ZfsException)
                {
                    // One bad file; the next may be good.
                }
            }
        }
        catch (ZfsException)
        {
            // No file system in it any more.
        }
    }

    private static void EditSomething(PoolEditor editor, Random random)
    {
        void Scramble(Span<byte> bytes)
        {
            for (int k = random.Next(1, 6); k > 0; k--)
            {
                int at = random.Next(Math.Min(bytes.Length, random.Next(2) == 0 ? 256 : bytes.Length));
                bytes[at] = random.Next(4) switch { 0 => 0, 1 => 255, 2 => (byte)(bytes[at] ^ (1 << random.Next(8))), _ => (byte)random.Next(256) };
            }
        }

        ulong ds = random.Next(2) == 0 ? 0UL : 16UL;
        ulong obj = ds == 0 ? (ulong)random.Next(1, 27) : (ulong)random.Next(1, 8);
        switch (random.Next(5))
        {
            case 0:
                editor.EditObjset(ds, Scramble);
                break;
            case 1:
                editor.EditDnode(ds, obj, Scramble);
                break;
            case 2:
                editor.EditBonus(ds, obj, Scramble);
                break;
            case 3:
                editor.EditUberblock(ub =>
                {
                    ub.RootBp.Prop ^= 1UL << random.Next(64);
                    return ub;
                });
                break;
            default:
                editor.EditBlock(ds, obj, 0, Scramble);
                break;
        }
    }

    private static List<ulong> AllocatedSectors(MemoryVdevIo io)
    {
        var sectors = new List<ulong>();
        using PoolReader pool = PoolReader.Open([io]);
        var ctx = new CheckContext(pool, new CheckOptions());
        SpaceMapCheck.Load(ctx);
        foreach ((_, ulong offset, ulong length) in ctx.Allocated.Except(new SpaceBitmap(pool.Vdevs)))
        {
            for (ulong at = 0; at < length; at += 512)
            {
                sectors.Add(offset + at);
            }
        }

        return sectors;
    }

    private static void Poke(MemoryVdevIo io, long at, byte value) =>
        Assert.Equal(0, io.Write(at, [new IoSegment((nint)(&value), 1)]));
}
