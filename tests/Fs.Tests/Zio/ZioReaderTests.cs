using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

public sealed unsafe class ZioReaderTests : IDisposable
{
    private readonly KmemScope _kmem = new(32 << 20);
    private readonly MemoryVdevIo _io = new(64 << 20);
    private readonly Vdev _vdev;
    private ulong _next = 0x10000;

    public ZioReaderTests() => _vdev = new Vdev { Id = 0, Guid = 1, Ashift = 9, Asize = Vdev.AsizeFor(_io.Size), Io = _io };

    public void Dispose() => _kmem.Dispose();

    [Fact]
    public void Each_copy_is_tried_and_the_bad_ones_are_named()
    {
        byte[] data = RandomBytes(4096, 1);
        Blkptr bp = Store(data, copies: 3);
        AssertReads(bp, data, out ZioReadReport report);
        Assert.Equal((0, 0, 0), (report.GoodCopy, report.ChecksumErrors, report.IoErrors));
        Damage(bp.Dva0);
        AssertReads(bp, data, out report);
        Assert.Equal((1, 1, 0), (report.GoodCopy, report.ChecksumErrors, report.IoErrors));
        bp.Dva1 = Dva.Create(7, bp.Dva1.Offset, 4096);
        AssertReads(bp, data, out report);
        Assert.Equal((2, 1, 2), (report.GoodCopy, report.ChecksumErrors, report.IoErrors));
        Assert.Equal(3, report.BadCopies);
        Damage(bp.Dva2);
        Assert.Equal(Errno.ECKSUM, Read(bp, out _, out report));
        Assert.Equal(-1, report.GoodCopy);
        bp.Dva0 = bp.Dva1;
        bp.Dva2 = Dva.Create(0, _vdev.Asize - 512, 4096);
        Assert.Equal(Errno.EIO, Read(bp, out _, out report));
        Assert.Equal(7, report.IoErrors);
    }

    [Fact]
    public void Gang_blocks_are_put_together_nested_ones_too()
    {
        byte[] data = RandomBytes(8192, 2);
        Blkptr bp = Gang(data, 0, levels: 2, births: 9);
        AssertReads(bp, data, out _);
        Blkptr wrongBirth = bp;
        wrongBirth.Birth = 10;
        Assert.Equal(Errno.ECKSUM, Read(wrongBirth, out _, out _));
        Damage(bp.Dva0);
        Assert.Equal(Errno.ECKSUM, Read(bp, out _, out _));
    }

    [Fact]
    public void A_compressed_gang_block_is_uncompressed_as_a_whole()
    {
        var data = new byte[16384];
        RandomBytes(3000, 3).CopyTo(data, 0);
        var stored = new byte[16384];
        int psize;
        fixed (byte* s = data, d = stored)
        {
            psize = ZioCompress.Compress(ZioCompressType.Lzjb, s, data.Length, d);
        }

        Assert.InRange(psize, 1536, 8192);
        Blkptr bp = Gang(stored[..psize], 0, levels: 1, births: 4);
        bp.LogicalSize = 16384;
        bp.Compress = ZioCompressType.Lzjb;
        AssertReads(bp, data, out _);
    }

    [Fact]
    public void A_gang_block_that_holds_itself_ends_in_an_error()
    {
        // A header that, by its own checksum, is genuine, and whose children are gang blocks at its own place.
        byte[] header = new byte[512];
        ulong at = Place(512);
        var child = new Blkptr { Dva0 = Dva.Create(0, at, 512, gang: true), Birth = 4, LogicalSize = 512, PhysicalSize = 512, Compress = ZioCompressType.Off, ChecksumType = ZioChecksumType.Off, IsLittleEndian = true };
        fixed (byte* p = header)
        {
            for (int i = 0; i < 3; i++)
            {
                child.Dva1 = child.Dva2 = child.Dva0;
                ((Blkptr*)p)[i] = child;
            }

            ZioEck.Seal(p, 512, new Checksum256(0, at, 4, 0));
        }

        Write(at, header);
        Blkptr bp = child;
        bp.LogicalSize = bp.PhysicalSize = 131072;
        Assert.Equal(Errno.EIO, Read(bp, out _, out _));
    }

    [Fact]
    public void Impossible_pointers_are_errors_and_touch_nothing()
    {
        Blkptr bp = Store(RandomBytes(4096, 4), 1);
        (string What, Func<Blkptr, Blkptr> Break)[] cases =
        [
            ("hole", b => default),
            ("psize > lsize", b => { b.LogicalSize = 512; return b; }),
            ("lsize > 128 KiB", b => { b.LogicalSize = 1 << 20; return b; }),
            ("no compression, sizes differ", b => { b.LogicalSize = 8192; return b; }),
            ("compression 200", b => { b.Compress = (ZioCompressType)200; return b; }),
            ("compression inherit", b => { b.Compress = ZioCompressType.Inherit; return b; }),
            ("checksum 77", b => { b.ChecksumType = (ZioChecksumType)77; return b; }),
            ("no copies", b => { b.Dva0 = default; return b; }),
            ("offset beyond", b => { b.Dva0 = Dva.Create(0, 1UL << 60, 4096); return b; }),
        ];
        byte* dst = stackalloc byte[16];
        foreach ((string what, Func<Blkptr, Blkptr> damage) in cases)
        {
            Blkptr bad = damage(bp);
            Assert.True(ZioReader.Read([_vdev], bad, dst) == Errno.EIO, what);
        }
    }

    /// <summary>Stores bytes in a gang tree: three children each level.</summary>
    private Blkptr Gang(byte[] data, int depth, int levels, ulong births)
    {
        if (depth == levels)
        {
            Blkptr leaf = Store(data, 1);
            leaf.Birth = births;
            return leaf;
        }

        byte[] header = new byte[512];
        ulong at = Place(512);
        fixed (byte* p = header)
        {
            int done = 0;
            for (int i = 0; i < 3; i++)
            {
                int size = ((data.Length - done) / (3 - i) + 511) & ~511;
                ((Blkptr*)p)[i] = Gang(data.AsSpan(done, size).ToArray(), depth + 1, levels, births);
                done += size;
            }

            ZioEck.Seal(p, 512, new Checksum256(0, at, births, 0));
        }

        Write(at, header);
        Blkptr bp = Describe(data);
        bp.Birth = births;
        bp.Dva0 = Dva.Create(0, at, (ulong)data.Length + 512, gang: true);
        return bp;
    }

    private Blkptr Store(byte[] data, int copies)
    {
        Blkptr bp = Describe(data);
        for (int i = 0; i < copies; i++)
        {
            ulong at = Place(data.Length);
            Write(at, data);
            bp[i] = Dva.Create(0, at, (ulong)data.Length);
        }

        return bp;
    }

    private static Blkptr Describe(byte[] data)
    {
        fixed (byte* p = data)
        {
            return new Blkptr
            {
                LogicalSize = data.Length,
                PhysicalSize = data.Length,
                Compress = ZioCompressType.Off,
                ChecksumType = ZioChecksumType.Fletcher4,
                Type = DmuOt.PlainFileContents,
                IsLittleEndian = true,
                Birth = 4,
                Checksum = ZioChecksum.Compute(ZioChecksumType.Fletcher4, p, data.Length),
            };
        }
    }

    private int Read(in Blkptr bp, out byte[] data, out ZioReadReport report)
    {
        data = new byte[bp.LogicalSize];
        fixed (byte* p = data)
        {
            return ZioReader.Read([_vdev], bp, p, out report);
        }
    }

    private void AssertReads(in Blkptr bp, byte[] expected, out ZioReadReport report)
    {
        Assert.Equal(0, Read(bp, out byte[] data, out report));
        Assert.Equal(expected, data);
    }

    private ulong Place(int size)
    {
        ulong at = _next;
        _next += (ulong)size;
        return at;
    }

    private void Write(ulong at, byte[] data)
    {
        fixed (byte* p = data)
        {
            Assert.Equal(0, _vdev.Write(at, [new IoSegment((nint)p, data.Length)]));
        }
    }

    private void Damage(in Dva dva)
    {
        byte b;
        Assert.Equal(0, _vdev.Read(dva.Offset + 100, &b, 1));
        b ^= 1;
        Assert.Equal(0, _vdev.Write(dva.Offset + 100, [new IoSegment((nint)(&b), 1)]));
    }

    private static byte[] RandomBytes(int size, int seed)
    {
        var data = new byte[size];
        new Random(seed).NextBytes(data);
        return data;
    }
}
