using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Contents: holes, sizes, space given and taken, copies within the kernel.</summary>
public sealed class DataCases : PosixCases
{
    private const int Block = 131072;

    [PosixCase]
    public void Reading_stops_at_the_end()
    {
        Make("f", "12345");
        int fd = Open("f", Sys.RdOnly);
        byte[] buffer = new byte[10];
        Assert.Equal(5, Sys.Pread(fd, buffer, 0));
        Assert.Equal(2, Sys.Pread(fd, buffer, 3));
        Assert.Equal(0, Sys.Pread(fd, buffer, 5));
        Assert.Equal(0, Sys.Pread(fd, buffer, 1L << 40));
        Assert.Equal(0, Sys.Read(fd, default));
    }

    [PosixCase]
    public void What_was_cut_off_never_comes_back()
    {
        byte[] data = Pattern(3 * Block);
        Make("f", data);
        int fd = Open("f", Sys.RdWr);
        foreach (int size in (int[])[(2 * Block) + 1, 2 * Block, Block - 1, 5000, 4096, 1, 0])
        {
            Must(Sys.Ftruncate(fd, size));
            Must(Sys.Ftruncate(fd, 3 * Block));
            byte[] now = ReadAt(fd, 0, 4 * Block);
            Assert.Equal(3 * Block, now.Length);
            Assert.True(now.AsSpan(0, size).SequenceEqual(data.AsSpan(0, size)), $"the first {size} bytes");
            Assert.True(now.AsSpan(size).IndexOfAnyExcept((byte)0) < 0, $"behind {size}");
        }
    }

    [PosixCase]
    public void A_write_far_behind_the_end_leaves_a_hole()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        long[] offsets = [0, 10 << 20, 3L << 30, 1L << 40];
        foreach (long offset in offsets)
        {
            WriteAt(fd, offset, Bytes($"at {offset}"));
        }

        foreach (long offset in offsets)
        {
            Assert.Equal(Bytes($"at {offset}"), ReadAt(fd, offset, $"at {offset}".Length));
            Assert.All(ReadAt(fd, offset + 20, 1000), static b => Assert.Equal(0, b));
        }

        Must(Sys.Fsync(fd));
        Assert.True(Fstat(fd).Blocks < 8192, $"{Fstat(fd).Blocks} blocks");
    }

    [PosixCase(Needs = PosixNeeds.Root | PosixNeeds.MountPoint, Except = FileSystemKind.Ext4 | FileSystemKind.Other, Why = "ext4 files end at 16 TiB")]
    public void A_file_can_have_every_size_that_a_number_can_say()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        Must(Sys.Ftruncate(fd, long.MaxValue));
        Assert.Equal((ulong)long.MaxValue, Fstat(fd).Size);
        WriteAt(fd, long.MaxValue - 100_000, "near the end"u8);
        WriteAt(fd, 1L << 62, "on the way"u8);
        Assert.Equal(Bytes("near the end"), ReadAt(fd, long.MaxValue - 100_000, 12));
        Must(Sys.Fsync(fd));
        Fails(E.INVAL, Sys.Pwrite(fd, "x"u8, long.MaxValue));
        Close(fd);
        Evict();
        fd = Open("f", Sys.RdWr);
        Assert.Equal(Bytes("on the way"), ReadAt(fd, 1L << 62, 10));
        Assert.Equal(Bytes("near the end"), ReadAt(fd, long.MaxValue - 100_000, 12));
        Must(Sys.Ftruncate(fd, 5));
        Assert.Equal(5ul, Fstat(fd).Size);
    }

    [PosixCase(Except = FileSystemKind.ZfsLite | FileSystemKind.Other, Why = "its files can have every size")]
    public void Beyond_the_largest_size_is_EFBIG()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        Fails(E.FBIG, Sys.Ftruncate(fd, 1L << 50));
        Fails(E.FBIG, Sys.Pwrite(fd, "x"u8, 1L << 50));
        Fails(E.FBIG, Sys.Fallocate(fd, 0, 1L << 50, 10));
        Assert.Equal(0ul, Fstat(fd).Size);
    }

    [PosixCase]
    public void Fallocate_makes_room_and_the_file_longer()
    {
        Make("f", "content");
        int fd = Open("f", Sys.RdWr);
        Must(Sys.Fallocate(fd, 0, 0, 100_000));
        Assert.Equal(100_000ul, Fstat(fd).Size);
        Must(Sys.Fallocate(fd, 0, 10, 10));
        Assert.Equal(100_000ul, Fstat(fd).Size);
        byte[] now = ReadAt(fd, 0, 200_000);
        Assert.Equal(Bytes("content"), now[..7]);
        Assert.Equal(100_000, now.Length);
        Assert.True(now.AsSpan(7).IndexOfAnyExcept((byte)0) < 0);
    }

    [PosixCase]
    public void Keep_size_keeps_it()
    {
        Make("f", "content");
        int fd = Open("f", Sys.RdWr);
        Must(Sys.Fallocate(fd, Sys.KeepSize, 0, 100_000));
        Must(Sys.Fallocate(fd, Sys.ZeroRange | Sys.KeepSize, 4, 100_000));
        Must(Sys.Fallocate(fd, Sys.PunchHole | Sys.KeepSize, 200_000, 100_000));
        Assert.Equal(7ul, Fstat(fd).Size);
        Assert.Equal([.. "cont"u8, 0, 0, 0], ReadAt(fd, 0, 100));
    }

    [PosixCase]
    public void Punching_and_zeroing_clear_just_their_range()
    {
        byte[] data = Pattern(4 * Block);
        Make("f", data);
        int fd = Open("f", Sys.RdWr);
        (int Mode, int Offset, int Length)[] ranges =
        [
            (Sys.PunchHole | Sys.KeepSize, 1, 10), (Sys.PunchHole | Sys.KeepSize, Block - 5, 10), (Sys.PunchHole | Sys.KeepSize, Block, Block),
            (Sys.ZeroRange, (2 * Block) + 100, 1000), (Sys.ZeroRange, (3 * Block) - 1, 2), (Sys.ZeroRange | Sys.KeepSize, (4 * Block) - 100, 1000),
            (Sys.PunchHole | Sys.KeepSize, 5000, 60_000),
        ];
        foreach ((int mode, int offset, int length) in ranges)
        {
            Must(Sys.Fallocate(fd, mode, offset, length));
            data.AsSpan(offset, Math.Min(length, data.Length - offset)).Clear();
            Assert.True(data.AsSpan().SequenceEqual(ReadAt(fd, 0, data.Length + 1)), $"mode {mode}, {length} at {offset}");
        }

        Must(Sys.Fallocate(fd, Sys.ZeroRange, (4 * Block) - 100, 1000));
        Assert.Equal((ulong)(4 * Block) + 900, Fstat(fd).Size);
        Must(Sys.Fsync(fd));
        Close(fd);
        Assert.Equal([.. data, .. new byte[900]], File.ReadAllBytes(At("f")));
    }

    [PosixCase]
    public void A_punched_hole_gives_its_space_back()
    {
        Make("f", Pattern(16 * Block));
        int fd = Open("f", Sys.RdWr);
        Must(Sys.Fsync(fd));
        Assert.True(Soon(() => Fstat(fd).Blocks >= 16 * Block / 512), $"{Fstat(fd).Blocks} blocks");
        ulong before = Fstat(fd).Blocks;
        Must(Sys.Fallocate(fd, Sys.PunchHole | Sys.KeepSize, 4 * Block, 8 * Block));
        Must(Sys.Fsync(fd));
        Close(fd);
        Assert.True(Soon(() => before - Stat("f").Blocks is > 1500 and < 2100), $"of {before} blocks {Stat("f").Blocks} are left");
        Assert.Equal((ulong)(16 * Block), Stat("f").Size);
    }

    [PosixCase]
    public void Modes_of_fallocate_that_make_no_sense_are_refused()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        Fails(E.OPNOTSUPP, Sys.Fallocate(fd, Sys.PunchHole, 0, 10));
        Fails(E.OPNOTSUPP, Sys.Fallocate(fd, Sys.PunchHole | Sys.ZeroRange | Sys.KeepSize, 0, 10));
        Fails(E.OPNOTSUPP, Sys.Fallocate(fd, 0x4000, 0, 10));
        Fails(E.FBIG, Sys.Fallocate(fd, 0, long.MaxValue, 10));
        Must(Sys.Mknod(At("p"), FileStatus.Fifo | 0x1A4));
        Fails(E.SPIPE, Sys.Fallocate(Open("p", Sys.RdWr), 0, 0, 10));
    }

    [PosixCase]
    public void Data_and_holes_of_a_file_at_rest_are_found()
    {
        const long size = 64 * Block;
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        Must(Sys.Ftruncate(fd, size));
        long[] data = [4 * Block, 20 * Block, 40 * Block];
        foreach (long at in data)
        {
            WriteAt(fd, at, Pattern(Block));
        }

        Must(Sys.Fsync(fd));
        Close(fd);
        fd = Open("f", Sys.RdOnly);
        Assert.Equal(0, Sys.Lseek(fd, 0, Sys.SeekHole));
        long from = 0;
        foreach (long at in data)
        {
            Assert.Equal(at, Sys.Lseek(fd, from, Sys.SeekData));
            Assert.Equal(at + 10, Sys.Lseek(fd, at + 10, Sys.SeekData));
            from = at + Block;
            Assert.Equal(from, Sys.Lseek(fd, at, Sys.SeekHole));
            Assert.Equal(from, Sys.Lseek(fd, from, Sys.SeekHole));
        }

        Fails(E.NXIO, Sys.Lseek(fd, from, Sys.SeekData));
        Fails(E.NXIO, Sys.Lseek(fd, size, Sys.SeekData));
        Fails(E.NXIO, Sys.Lseek(fd, size, Sys.SeekHole));
        Fails(E.NXIO, Sys.Lseek(fd, size + 100, Sys.SeekHole));
        Fails(E.NXIO, Sys.Lseek(fd, -1, Sys.SeekData));
        Assert.Equal(size - 1, Sys.Lseek(fd, size - 1, Sys.SeekHole));
    }

    [PosixCase]
    public void A_file_without_holes_has_one_at_its_end()
    {
        Make("f", Pattern(2 * Block));
        int fd = Open("f", Sys.RdWr);
        Must(Sys.Fsync(fd));
        Close(fd);
        fd = Open("f", Sys.RdOnly);
        Assert.Equal(0, Sys.Lseek(fd, 0, Sys.SeekData));
        Assert.Equal(2 * Block, Sys.Lseek(fd, 0, Sys.SeekHole));
        Make("empty", "");
        Fails(E.NXIO, Sys.Lseek(Open("empty", Sys.RdOnly), 0, Sys.SeekData));
        Fails(E.NXIO, Sys.Lseek(Open("empty", Sys.RdOnly), 0, Sys.SeekHole));
    }

    [PosixCase]
    public void Copy_file_range_copies_what_it_says()
    {
        byte[] data = Pattern(5 * Block);
        Make("a", data);
        int a = Open("a", Sys.RdWr), b = Open("b", Sys.Creat | Sys.RdWr);
        Copy(a, 1000, b, 77, (4 * Block) + 5);
        Assert.Equal(data[1000..(1000 + (4 * Block) + 5)], ReadAt(b, 77, 10 * Block));
        Assert.Equal(new byte[77], ReadAt(b, 0, 77));
        Copy(a, 0, b, 10 * Block, 100);
        Assert.Equal((ulong)(10 * Block) + 100, Fstat(b).Size);
        Copy(a, 0, a, 2 * Block, Block);
        Assert.Equal(data[..Block], ReadAt(a, 2 * Block, Block));
        Assert.Equal(100, Must(Sys.CopyFileRange(a, (5 * Block) - 100, b, 0, 1000)));
        Assert.Equal(0, Sys.CopyFileRange(a, 5 * Block, b, 0, 1000));
        Assert.Equal(0, Sys.CopyFileRange(a, 0, b, 0, 0));
        Assert.Equal((ulong)(5 * Block), Fstat(a).Size);
        Must(Sys.Fsync(b));
        Assert.Equal(data[..100], ReadAt(b, 10 * Block, 1000));
    }

    private static void Copy(int from, long fromOffset, int to, long toOffset, long length)
    {
        while (length > 0)
        {
            long n = Must(Sys.CopyFileRange(from, fromOffset, to, toOffset, length));
            Assert.InRange(n, 1, length);
            fromOffset += n;
            toOffset += n;
            length -= n;
        }
    }

    [PosixCase]
    public void Copy_file_range_sees_what_is_not_written_back_and_changes_what_is_mapped()
    {
        int a = Open("a", Sys.Creat | Sys.RdWr), b = Open("b", Sys.Creat | Sys.RdWr);
        byte[] data = Pattern(Block);
        WriteAt(b, 0, new byte[Block]);
        using var map = new Mapping(b, Block, isShared: true);
        Assert.Equal(0, map.Read(500, 1)[0]);
        WriteAt(a, 0, data);
        Copy(a, 0, b, 0, Block);
        Assert.Equal(data, map.Read(0, Block));
        Assert.Equal(data, ReadAt(b, 0, 2 * Block));
        WriteAt(a, 0, "after"u8);
        Assert.Equal(data, ReadAt(b, 0, 2 * Block));
    }

    [PosixCase]
    public void Copy_file_range_refuses_what_makes_no_sense()
    {
        Make("a", Pattern(10_000));
        Must(Sys.Mkdir(At("d")));
        int a = Open("a", Sys.RdWr), dir = Open("d", Sys.RdOnly), append = Open("b", Sys.Creat | Sys.RdWr | Sys.Append);
        Fails(E.INVAL, Sys.CopyFileRange(a, 0, a, 50, 100));
        Fails(E.INVAL, Sys.CopyFileRange(a, 0, a, 100, 100, flags: 1));
        Fails(E.ISDIR, Sys.CopyFileRange(dir, 0, a, 0, 100));
        Fails(E.BADF, Sys.CopyFileRange(a, 0, append, 0, 100));
        Must(Sys.Mknod(At("p"), FileStatus.Fifo | 0x1A4));
        Fails(E.INVAL, Sys.CopyFileRange(Open("p", Sys.RdWr), 0, a, 0, 100));
    }

    [PosixCase]
    public void Two_descriptors_see_each_others_writes()
    {
        int a = Open("f", Sys.Creat | Sys.RdWr), b = Open("f", Sys.RdWr);
        for (int i = 0; i < 50; i++)
        {
            byte[] data = Pattern(1 + (i * 177), i);
            WriteAt(i % 2 == 0 ? a : b, i * 1000, data);
            Assert.Equal(data, ReadAt(i % 2 == 0 ? b : a, i * 1000, data.Length));
            Assert.Equal(Fstat(a).Size, Fstat(b).Size);
        }
    }

    [PosixCase(Needs = PosixNeeds.Remount)]
    public void Contents_of_every_shape_are_there_after_a_remount()
    {
        (string Name, int Length)[] files = [("empty", 0), ("byte", 1), ("page", 4096), ("odd", 70_001), ("block", Block), ("blocks", (7 * Block) + 13)];
        foreach ((string name, int length) in files)
        {
            Make(name, Pattern(length, length));
        }

        int sparse = Open("sparse", Sys.Creat | Sys.RdWr);
        WriteAt(sparse, 1L << 33, "far"u8);
        Remount();
        Assert.All(files, f => Assert.Equal(Pattern(f.Length, f.Length), File.ReadAllBytes(At(f.Name))));
        sparse = Open("sparse", Sys.RdOnly);
        Assert.Equal(Bytes("far"), ReadAt(sparse, 1L << 33, 10));
        Assert.Equal(1L << 33, Sys.Lseek(sparse, 0, Sys.SeekData) is var at && at > (1L << 33) - (1 << 20) ? 1L << 33 : at);
    }
}
