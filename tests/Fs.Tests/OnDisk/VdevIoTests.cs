using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

public sealed unsafe class VdevIoTests
{
    [Fact]
    public void A_file_holds_what_was_written_and_refuses_a_second_writer()
    {
        string path = Path.Combine(Path.GetTempPath(), $"zfslite-vdevio-{Environment.ProcessId}");
        File.WriteAllBytes(path, new byte[1 << 20]);
        try
        {
            using FileVdevIo io = FileVdevIo.Open(path, readOnly: false);
            Assert.Equal(1 << 20, io.Size);
            byte[] a = [1, 2, 3], b = [4, 5];
            var back = new byte[5];
            fixed (byte* p = a, q = b, r = back)
            {
                ReadOnlySpan<IoSegment> two = [new IoSegment((nint)p, 3), new IoSegment((nint)q, 2)];
                Assert.Equal(0, io.Write(4094, two));
                Assert.Equal(0, io.Flush());
                Assert.Equal(Errno.EIO, io.Read((1 << 20) - 2, r, 5));
                Assert.Equal(0, io.Read(4094, r, 5));
            }

            Assert.Equal([1, 2, 3, 4, 5], back);
            ZfsException busy = Assert.Throws<ZfsException>(() => FileVdevIo.Open(path, readOnly: true));
            Assert.Equal(Errno.EBUSY, busy.Errno);
            Assert.Contains(path, busy.Message);
            io.Discard(4096, 4096);
            fixed (byte* r = back)
            {
                Assert.Equal(0, io.Read(4094, r, 5));
            }

            Assert.Equal([1, 2, 0, 0, 0], back);
        }
        finally
        {
            File.Delete(path);
        }

        Assert.Equal(Errno.ENOENT, Assert.Throws<ZfsException>(() => FileVdevIo.Open(path, readOnly: true)).Errno);
    }

    [Fact]
    public void What_is_written_through_a_file_is_there_for_all()
    {
        string path = Path.Combine(Path.GetTempPath(), $"zfslite-vdevio3-{Environment.ProcessId}");
        File.WriteAllBytes(path, new byte[1 << 20]);
        try
        {
            using FileVdevIo io = FileVdevIo.Open(path, readOnly: false);
            byte[] a = [1, 2, 3], b = [4, 5];
            var back = new byte[5];
            fixed (byte* p = a, q = b, r = back)
            {
                ReadOnlySpan<IoSegment> two = [new IoSegment((nint)p, 3), new IoSegment((nint)q, 2)];
                Assert.Equal(0, io.WriteThrough(4094, two));
                Assert.Equal(0, io.Read(4094, r, 5));
            }

            Assert.Equal([1, 2, 3, 4, 5], back);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_simulated_disk_keeps_what_is_written_through_and_nothing_else()
    {
        var io = new SimVdevIo(1 << 20, 1);
        byte[] ones = new byte[2048], twos = new byte[512];
        Array.Fill(ones, (byte)1);
        Array.Fill(twos, (byte)2);
        fixed (byte* p = ones, q = twos)
        {
            ReadOnlySpan<IoSegment> first = [new IoSegment((nint)p, 2048)];
            ReadOnlySpan<IoSegment> second = [new IoSegment((nint)q, 512)];
            Assert.Equal(0, io.Write(0, first));
            Assert.Equal(0, io.WriteThrough(512, second));
        }

        Assert.Equal(1, io.PendingWrites);
        var seen = new HashSet<string>();
        for (ulong seed = 1; seed <= 40; seed++)
        {
            MemoryVdevIo image = io.CrashImage(seed);
            var back = new byte[2048];
            fixed (byte* r = back)
            {
                Assert.Equal(0, image.Read(0, r, 2048));
            }

            Assert.All(back[512..1024], static b => Assert.Equal(2, b));
            seen.Add($"{back[0]}{back[1024]}{back[1536]}");
        }

        Assert.Contains("000", seen);
        Assert.Contains("111", seen);
    }

    [Fact]
    public void A_file_takes_more_segments_than_one_system_call()
    {
        string path = Path.Combine(Path.GetTempPath(), $"zfslite-vdevio2-{Environment.ProcessId}");
        File.WriteAllBytes(path, new byte[1 << 20]);
        try
        {
            using FileVdevIo io = FileVdevIo.Open(path, readOnly: false);
            var data = new byte[200 * 512];
            new Random(1).NextBytes(data);
            var back = new byte[data.Length];
            var segments = new IoSegment[200];
            fixed (byte* p = data, r = back)
            {
                for (int i = 0; i < 200; i++)
                {
                    segments[i] = new IoSegment((nint)(p + (i * 512)), 512);
                }

                Assert.Equal(0, io.Write(1024, segments));
                Assert.Equal(0, io.Read(1024, r, back.Length));
            }

            Assert.Equal(data, back);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_crash_keeps_what_was_flushed_and_tears_the_rest_the_same_way_for_a_seed()
    {
        byte[] first = CrashOnce(1), again = CrashOnce(1), other = CrashOnce(2);
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);
        Assert.All(first[..4096], b => Assert.Equal(1, b));
        Assert.Contains((byte)2, first);
        Assert.Contains((byte)0, first[4096..]);
    }

    [Fact]
    public void The_kth_io_fails_and_power_off_stops_everything_until_the_crash()
    {
        var io = new SimVdevIo(1 << 20, 1) { FailAtIo = 2 };
        byte b = 1;
        ReadOnlySpan<IoSegment> one = [new IoSegment((nint)(&b), 1)];
        Assert.Equal([0, Errno.EIO, 0], [io.Write(0, one), io.Write(1, one), io.Write(2, one)]);
        io.PowerOffAtWrite = io.WriteCount + 1;
        Assert.Equal(Errno.EIO, io.Write(3, one));
        Assert.Equal(Errno.EIO, io.Read(0, &b, 1));
        Assert.Equal(Errno.EIO, io.Flush());
        io.Crash();
        Assert.Equal(0, io.Read(0, &b, 1));
        Assert.Equal(0, io.PendingWrites);
    }

    [Fact]
    public void A_vdev_never_reads_or_writes_outside_its_space()
    {
        var io = new MemoryVdevIo(64 << 20);
        var vdev = new Vdev { Id = 0, Guid = 1, Ashift = 9, Asize = Vdev.AsizeFor(io.Size), Io = io };
        Assert.Equal(62390272UL, vdev.Asize);
        Assert.Equal(19, Vdev.MetaslabShiftFor(vdev.Asize));
        byte b = 0;
        Assert.Equal(0, vdev.Read(vdev.Asize - 1, &b, 1));
        Assert.Equal(Errno.EIO, vdev.Read(vdev.Asize, &b, 1));
        Assert.Equal(Errno.EIO, vdev.Read(ulong.MaxValue - 4, &b, 1));
        _ = Assert.Throws<InvalidOperationException>(() =>
        {
            byte c = 0;
            _ = vdev.Write(vdev.Asize, [new IoSegment((nint)(&c), 1)]);
        });
    }

    [Fact]
    public void Labels_written_are_found_again_and_damage_to_three_of_them_is_survived()
    {
        using var kmem = new KmemScope(64 << 20);
        var io = new SimVdevIo(64 << 20, 1);
        var top = new VdevConfig { Type = "file", Guid = 77, Path = "/x", Ashift = 12, MetaslabShift = 19, Asize = Vdev.AsizeFor(io.Size) };
        var config = new PoolConfig { Name = "tank", PoolGuid = 5, Txg = 4, VdevChildren = 1, Tops = [top] };
        Assert.Equal(0, VdevLabel.Initialise(io, config.ToLabel(top)));
        Assert.False(VdevLabel.Scan(io).HasUberblock);
        for (ulong txg = 4; txg < 45; txg++)
        {
            var ub = new Uberblock { Magic = Uberblock.MagicNumber, Version = 23, Txg = txg, GuidSum = config.GuidSum };
            Assert.Equal(0, VdevLabel.WriteUberblock(io, 12, ub));
        }

        Assert.Equal(0, VdevLabel.WriteConfig(io, 0, config.With(PoolState.Exported, 44).ToLabel(top)));
        VdevLabelScan scan = VdevLabel.Scan(io);
        Assert.Equal((15, 44UL, 128, PoolState.Exported), (scan.ValidLabels, scan.Best.Txg, scan.UberblockCount, scan.Config!.State));
        for (int label = 0; label < 3; label++)
        {
            long at = VdevLabel.OffsetOf(label, io.Size);
            io.Corrupt(at + VdevLabel.ConfigOffset + 1000, 4);
            io.Corrupt(at + VdevLabel.UberblockRingOffset + (Uberblock.SlotFor(44, 12) * 4096) + 16, 4);
        }

        scan = VdevLabel.Scan(io);
        Assert.Equal((8, 44UL, 125, PoolState.Active), (scan.ValidLabels, scan.Best.Txg, scan.UberblockCount, scan.Config!.State));
    }

    private static byte[] CrashOnce(ulong seed)
    {
        var io = new SimVdevIo(1 << 20, seed);
        var data = new byte[65536];
        fixed (byte* p = data)
        {
            Array.Fill(data, (byte)1, 0, 4096);
            Assert.Equal(0, io.Write(0, [new IoSegment((nint)p, 4096)]));
            Assert.Equal(0, io.Flush());
            Array.Fill(data, (byte)2);
            for (int i = 1; i < 16; i++)
            {
                Assert.Equal(0, io.Write(i * 4096, [new IoSegment((nint)p, 4096)]));
            }

            io.Crash();
            Assert.Equal(0, io.Read(0, p, data.Length));
        }

        return data;
    }
}
