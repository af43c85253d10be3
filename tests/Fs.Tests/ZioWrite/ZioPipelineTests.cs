using System.Runtime.CompilerServices;
using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>The write pipeline on devices in memory, read back by the block reader.</summary>
[Trait("Backend", "os")]
public sealed unsafe class ZioPipelineTests : IDisposable
{
    private const int Block = 128 << 10;

    private readonly KmemScope _kmem = new(64 << 20);
    private readonly List<(nint Data, int Size)> _buffers = [];

    public void Dispose()
    {
        foreach ((nint data, int size) in _buffers)
        {
            ZioBuf.Free((byte*)data, size);
        }

        _kmem.Dispose();
    }

    public static TheoryData<ZioChecksumType, ZioCompressType, int, int> Functions
    {
        get
        {
            var data = new TheoryData<ZioChecksumType, ZioCompressType, int, int>();
            foreach (ZioChecksumType checksum in (ZioChecksumType[])[ZioChecksumType.Off, ZioChecksumType.Fletcher2, ZioChecksumType.On, ZioChecksumType.Sha256])
            {
                foreach (ZioCompressType compress in (ZioCompressType[])[ZioCompressType.Off, ZioCompressType.On, ZioCompressType.Gzip1, ZioCompressType.Gzip9, ZioCompressType.Zle])
                {
                    data.Add(checksum, compress, 1, 9);
                    data.Add(checksum, compress, 2, 12);
                    data.Add(checksum, compress, 3, 9);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Functions))]
    public void Every_block_reads_back_from_every_copy(ZioChecksumType checksum, ZioCompressType compress, int copies, int ashift)
    {
        using var rig = new Rig(1, ashift);
        int[] sizes = [512, 1024, 1536, 4096, 8192, 16384, 20480, 66048, Block];
        var writes = new List<ZioWrite>();
        for (int i = 0; i < 45; i++)
        {
            writes.Add(Make(sizes[i % sizes.Length], i % 5, i, w =>
            {
                w.ChecksumType = checksum;
                w.Compress = compress;
                w.Copies = copies;
                w.Type = DmuOt.PlainFileContents;
                w.Level = i % 3;
                w.Fill = (ulong)i;
            }));
            rig.Pipeline.Submit(writes[i]);
        }

        Assert.Equal(0, rig.Pipeline.WaitAll());
        byte* back = ZioBuf.Alloc(Block, KmFlags.Sleep);
        long allocated = 0;
        for (int i = 0; i < writes.Count; i++)
        {
            ZioWrite w = writes[i];
            Assert.Equal(0, w.Error);
            bool hole = compress != ZioCompressType.Off && i % 5 == 0;
            Assert.Equal(hole, w.BecameHole);
            Assert.Equal(hole, w.Bp.IsHole);
            if (hole)
            {
                continue;
            }

            Assert.Equal((copies, w.LogicalSize, 7UL, (ulong)i, i % 3, DmuOt.PlainFileContents, true),
                (w.Bp.DvaCount, w.Bp.LogicalSize, w.Bp.Birth, w.Bp.Fill, w.Bp.Level, w.Bp.Type, w.Bp.IsLittleEndian));
            Assert.Null(ZioReader.Problem(w.Bp));
            allocated += (long)w.Bp.Asize;
            for (int c = 0; c < copies; c++)
            {
                Assert.Equal(((ulong)w.Bp.PhysicalSize + (1UL << ashift) - 1) >> ashift, w.Bp[c].Asize >> ashift);
                Unsafe.InitBlock(back, 0xaa, Block);
                Assert.Equal(0, ZioReader.ReadCopy(rig.Vdevs, w.Bp, c, back));
                Assert.True(new ReadOnlySpan<byte>(w.Data, w.LogicalSize).SequenceEqual(new ReadOnlySpan<byte>(back, w.LogicalSize)), $"block {i} copy {c}");
            }
        }

        ZioBuf.Free(back, Block);
        Assert.Equal(allocated, rig.Allocator.AllocatedBytes);
        Assert.Equal(allocated, rig.Pipeline.GetStats().BytesWritten);
    }

    [Fact]
    public void Compression_shrinks_what_can_be_shrunk_and_stores_the_rest_as_it_is()
    {
        using var rig = new Rig(1, 9);
        ZioWrite text = Make(Block, 1, 1);
        ZioWrite noise = Make(Block, 4, 2);
        rig.Pipeline.Submit(text);
        rig.Pipeline.Submit(noise);
        Assert.Equal(0, rig.Pipeline.WaitAll());
        Assert.Equal(ZioCompressType.Lzjb, text.Bp.Compress);
        Assert.True(text.Bp.PhysicalSize < Block / 2);
        Assert.Equal((ZioCompressType.Off, Block), (noise.Bp.Compress, noise.Bp.PhysicalSize));
    }

    [Fact]
    public void A_block_written_again_in_its_txg_stays_in_place_if_it_fits_and_moves_if_it_grows()
    {
        using var rig = new Rig(1, 9);
        ZioWrite first = Make(16384, 2, 1);
        rig.Write(first);
        Blkptr old = first.Bp;
        Assert.InRange(old.PhysicalSize, 1024, 15360);

        // Smaller: padded to the old size.
        ZioWrite smaller = Make(16384, 1, 2, w => (w.HasRewrite, w.RewriteBp) = (true, old));
        rig.Write(smaller);
        Assert.Equal((old.Dva0, old.PhysicalSize, false), (smaller.Bp.Dva0, smaller.Bp.PhysicalSize, smaller.RewriteReplaced));
        rig.AssertReads(smaller);

        // Larger: elsewhere, and the old version is the owner's to free.
        ZioWrite larger = Make(16384, 4, 3, w => (w.HasRewrite, w.RewriteBp) = (true, smaller.Bp));
        rig.Write(larger);
        Assert.NotEqual(old.Dva0, larger.Bp.Dva0);
        Assert.True(larger.RewriteReplaced);
        rig.AssertReads(larger);
        rig.Allocator.Free(smaller.Bp, 7);

        // Where an uncompressed version lies any other fits.
        ZioWrite again = Make(16384, 1, 4, w => (w.HasRewrite, w.RewriteBp) = (true, larger.Bp));
        rig.Write(again);
        Assert.Equal((larger.Bp.Dva0, 16384, ZioCompressType.Off), (again.Bp.Dva0, again.Bp.PhysicalSize, again.Bp.Compress));
        rig.AssertReads(again);
        Assert.Equal(16384, rig.Allocator.AllocatedBytes);

        // Zeros: a hole.
        ZioWrite zeros = Make(16384, 0, 5, w => (w.HasRewrite, w.RewriteBp) = (true, again.Bp));
        rig.Write(zeros);
        Assert.True(zeros.BecameHole && zeros.RewriteReplaced && zeros.Bp.IsHole);
        Assert.Equal(2, rig.Pipeline.GetStats().InPlace);
    }

    [Fact]
    public void Two_versions_in_one_batch_reach_the_disk_in_order()
    {
        using var rig = new Rig(1, 9);
        ZioWrite[] versions = new ZioWrite[20];
        for (int i = 0; i < versions.Length; i++)
        {
            Blkptr old = i > 0 ? versions[i - 1].Bp : default;
            versions[i] = Make(4096, 4, i, w => (w.HasRewrite, w.RewriteBp) = (i > 0, old));
            rig.Pipeline.Submit(versions[i]);
            rig.Pipeline.Submit(Make(4096, 4, 100 + i));
            rig.Pipeline.WaitPlaced();
            Assert.Equal(versions[0].Bp.Dva0, versions[i].Bp.Dva0);
        }

        Assert.Equal(0, rig.Pipeline.WaitAll());
        rig.AssertReads(versions[^1]);
    }

    [Fact]
    public void The_layout_is_the_same_in_every_run_and_in_order_of_submission()
    {
        List<Dva> Run(int workers)
        {
            using var rig = new Rig(1, 9, workers: workers);
            var writes = new List<ZioWrite>();
            for (int i = 0; i < 300; i++)
            {
                writes.Add(Make(i % 7 == 0 ? Block : 4096, 1 + (i % 4), i));
                rig.Pipeline.Submit(writes[i]);
            }

            Assert.Equal(0, rig.Pipeline.WaitAll());
            ulong at = 0;
            int jumps = 0;
            foreach (ZioWrite w in writes)
            {
                jumps += w.Bp.Dva0.Offset != at ? 1 : 0;
                at = w.Bp.Dva0.Offset + w.Bp.Dva0.Asize;
            }

            Assert.InRange(jumps, 0, 12);
            return [.. writes.Select(static w => w.Bp.Dva0)];
        }

        Assert.Equal(Run(1), Run(3));
    }

    [Fact]
    public void Six_thousand_small_files_take_a_few_hundred_calls()
    {
        using var rig = new Rig(1, 9, size: 256 << 20);
        byte* shared = Make(4096, 2, 1).Data;
        byte* dnodes = Make(16384, 2, 2).Data;
        var pool = new List<ZioWrite>();
        for (int i = 0; i < 6000; i++)
        {
            pool.Add(new ZioWrite { Data = shared, LogicalSize = 4096, Type = DmuOt.PlainFileContents, Txg = 7 });
        }

        for (int i = 0; i < 6000 / 32; i++)
        {
            pool.Add(new ZioWrite { Data = dnodes, LogicalSize = 16384, Type = DmuOt.Dnode, Copies = 2, Txg = 7 });
        }

        foreach (ZioWrite w in pool)
        {
            rig.Pipeline.Submit(w);
        }

        Assert.Equal(0, rig.Pipeline.WaitAll());
        ZioPipelineStats stats = rig.Pipeline.GetStats();
        Assert.Equal(6000 + (2 * 187), stats.Ios);
        Assert.InRange(stats.Calls, 5, 200);
    }

    [Fact]
    public void A_full_pool_is_ENOSPC_once_and_the_rest_is_written()
    {
        using var rig = new Rig(1, 9);
        var writes = new List<ZioWrite>();
        byte* noise = Make(Block, 4, 1).Data;
        for (int i = 0; i < 520; i++)
        {
            writes.Add(new ZioWrite { Data = noise, LogicalSize = Block, Compress = ZioCompressType.Off, Txg = 7 });
            rig.Pipeline.Submit(writes[i]);
        }

        Assert.Equal(Errno.ENOSPC, rig.Pipeline.WaitAll());
        Assert.Equal(0, rig.Pipeline.WaitAll());
        int written = writes.Count(static w => w.Error == 0);
        Assert.Equal(rig.Allocator.AllocatedBytes, (long)written * Block);
        Assert.InRange(written, 400, 500);
        Assert.All(writes, w => Assert.Equal(w.Error != 0, w.Bp.IsHole));
    }

    [Fact]
    public void An_error_of_the_device_is_reported_with_the_block_and_by_WaitAll()
    {
        using var rig = new Rig(1, 9, failing: true);
        var done = new Counted { Data = Make(4096, 4, 1).Data, LogicalSize = 4096, Txg = 7, DirtyBytes = 4096 };
        long undirtied = 0;
        rig.Pipeline.UndirtySpace = (bytes, txg) => undirtied += bytes + (long)txg;
        rig.Pipeline.Submit(done);
        Assert.Equal(Errno.EBADF, rig.Pipeline.WaitAll());
        Assert.Equal((Errno.EBADF, 1, 1), (done.Error, done.Placed, done.Done));
        Assert.Equal(4103, undirtied);
    }

    [Fact]
    public void More_than_may_be_in_flight_is_written_with_bounded_memory()
    {
        using var rig = new Rig(2, 9, size: 256 << 20);
        byte* data = Make(Block, 2, 1).Data;
        var writes = Enumerable.Range(0, 64).Select(_ => new Counted()).ToArray();
        for (int i = 0; i < 2000; i++)
        {
            Counted w = writes[i % writes.Length];
            if (i >= writes.Length && i % writes.Length == 0)
            {
                Assert.Equal(0, rig.Pipeline.WaitAll());
            }

            w.Data = data;
            w.LogicalSize = Block;
            w.Txg = 7;
            rig.Pipeline.Submit(w);
        }

        Assert.Equal(0, rig.Pipeline.WaitAll());
        Assert.Equal(2000, writes.Sum(static w => w.Done));
        Assert.Equal(2000, writes.Sum(static w => w.Placed));
    }

    [Fact]
    public void What_makes_no_sense_is_refused_at_once()
    {
        using var rig = new Rig(1, 9);
        byte* data = Make(4096, 4, 1).Data;
        Assert.Throws<ArgumentException>(() => rig.Pipeline.Submit(new ZioWrite { Data = data, LogicalSize = 100, Txg = 7 }));
        Assert.Throws<ArgumentException>(() => rig.Pipeline.Submit(new ZioWrite { Data = data, LogicalSize = 4096, Txg = 7, Copies = 4 }));
        Assert.Throws<ArgumentException>(() => rig.Pipeline.Submit(new ZioWrite { Data = data, LogicalSize = 4096 }));
        Assert.Throws<ArgumentException>(() => rig.Pipeline.Submit(new ZioWrite { Data = data, LogicalSize = 4096, Txg = 7, ChecksumType = ZioChecksumType.Inherit }));
        Assert.Throws<ArgumentException>(() => rig.Pipeline.Submit(new ZioWrite { Data = data, LogicalSize = 4096, Txg = 7, Compress = ZioCompressType.Empty }));
        Assert.Throws<ArgumentException>(() => rig.Pipeline.Submit(
            new ZioWrite { Data = data, LogicalSize = 4096, Txg = 7, HasRewrite = true, RewriteBp = new Blkptr { Birth = 6 } }));
        Assert.Equal(0, rig.Pipeline.WaitAll());
    }

    // kind 0: zeros, 1: very compressible, 2: text-like, 3: zeros with a little in them, 4: noise.
    private ZioWrite Make(int size, int kind, int seed, Action<ZioWrite>? set = null)
    {
        byte* data = ZioBuf.Alloc(size, KmFlags.Sleep);
        _buffers.Add(((nint)data, size));
        var span = new Span<byte>(data, size);
        span.Clear();
        var random = new Random(seed);
        switch (kind)
        {
            case 1:
                span.Fill((byte)(seed + 1));
                break;
            case 2:
                for (int i = 0; i < size; i++)
                {
                    data[i] = (byte)"the quick brown fox jumps over "[(i + (random.Next(8) == 0 ? seed : 0)) % 31];
                }

                break;
            case 3:
                data[size / 2] = (byte)(seed | 1);
                break;
            case 4:
                random.NextBytes(span);
                break;
        }

        var w = new ZioWrite { Data = data, LogicalSize = size, Txg = 7 };
        set?.Invoke(w);
        return w;
    }

    private sealed class Counted : ZioWrite
    {
        internal int Placed;
        internal int Done;

        protected internal override void OnPlaced() => Placed++;

        protected internal override void OnDone() => Done++;
    }
}
