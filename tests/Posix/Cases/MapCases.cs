using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>mmap(2): shared and private, coherent with read and write.</summary>
public sealed class MapCases : PosixCases
{
    private const int Length = 3 * 65536;

    [PosixCase]
    public void What_is_written_is_seen_in_a_shared_mapping_at_once_and_the_other_way()
    {
        byte[] data = Pattern(Length);
        Make("f", data);
        int fd = Open("f", Sys.RdWr);
        using var map = new Mapping(fd, Length, isShared: true);
        Assert.Equal(data, map.Read(0, Length));
        WriteAt(fd, 70_000, "written"u8);
        Assert.Equal(Bytes("written"), map.Read(70_000, 7));
        map.Write(140_000, "mapped"u8);
        Assert.Equal(Bytes("mapped"), ReadAt(fd, 140_000, 6));
        using var other = new Mapping(Open("f", Sys.RdOnly), Length, isShared: true, protection: 1);
        Assert.Equal(Bytes("mapped"), other.Read(140_000, 6));
        map.Write(5, "both"u8);
        Assert.Equal(Bytes("both"), other.Read(5, 4));
    }

    [PosixCase]
    public void A_private_mapping_keeps_its_changes_to_itself()
    {
        byte[] data = Pattern(Length);
        Make("f", data);
        int fd = Open("f", Sys.RdOnly);
        using (var map = new Mapping(fd, Length, isShared: false))
        {
            map.Write(1000, "mine alone"u8);
            Assert.Equal(Bytes("mine alone"), map.Read(1000, 10));
            Assert.Equal(data, ReadAt(fd, 0, Length));
        }

        Assert.Equal(data, File.ReadAllBytes(At("f")));
    }

    [PosixCase]
    public void What_a_mapping_wrote_is_there_after_it_was_closed_and_evicted()
    {
        Make("f", new byte[Length]);
        int fd = Open("f", Sys.RdWr);
        using (var map = new Mapping(fd, Length, isShared: true))
        {
            Close(fd);
            map.Write(100_000, "stays"u8);
            map.Sync();
        }

        if (CanEvict)
        {
            Evict();
        }

        Assert.Equal(Bytes("stays"), File.ReadAllBytes(At("f"))[100_000..100_005]);
    }

    [PosixCase]
    public void Behind_the_end_of_the_file_a_page_is_zero_and_stays_out_of_it()
    {
        Make("f", "short");
        int fd = Open("f", Sys.RdWr);
        using (var map = new Mapping(fd, 4096, isShared: true))
        {
            Assert.All(map.Read(5, 4091), static b => Assert.Equal(0, b));
            map.Write(5, "behind the end"u8);
            map.Sync();
        }

        Assert.Equal("short", File.ReadAllText(At("f")));
        Must(Sys.Ftruncate(fd, 100));
        Assert.All(ReadAt(fd, 5, 95), static b => Assert.Equal(0, b));
    }

    [PosixCase]
    public void A_hole_is_filled_by_writing_to_its_mapping()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        Must(Sys.Ftruncate(fd, Length));
        using (var map = new Mapping(fd, Length, isShared: true))
        {
            Assert.Equal(new byte[Length], map.Read(0, Length));
            map.Write(80_000, "in the hole"u8);
            map.Sync();
        }

        Assert.Equal(Bytes("in the hole"), ReadAt(fd, 80_000, 11));
        Assert.All(ReadAt(fd, 0, 80_000), static b => Assert.Equal(0, b));
    }

    [PosixCase]
    public void Punching_and_truncating_show_in_a_mapping()
    {
        byte[] data = Pattern(Length);
        Make("f", data);
        int fd = Open("f", Sys.RdWr);
        using var map = new Mapping(fd, Length, isShared: true);
        Assert.Equal(data[65536], map.Read(65536, 1)[0]);
        Must(Sys.Fallocate(fd, Sys.PunchHole | Sys.KeepSize, 65_000, 2_000));
        Assert.Equal(new byte[2000], map.Read(65_000, 2000));
        Assert.Equal(data[67_000..], map.Read(67_000, Length - 67_000));
        Must(Sys.Ftruncate(fd, 100_000));
        Must(Sys.Ftruncate(fd, Length));
        Assert.Equal(new byte[Length - 100_000], map.Read(100_000, Length - 100_000));
    }

    [PosixCase]
    public void Copy_between_mapping_and_direct_io_is_coherent()
    {
        Make("f", Pattern(Length));
        int fd = Open("f", Sys.RdWr), direct = Sys.Open(At("f"), Sys.RdWr | Sys.Direct);
        if (direct == -E.INVAL)
        {
            return;
        }

        Must(direct);
        using var buffer = new AlignedBuffer(4096);
        using (var map = new Mapping(fd, Length, isShared: true))
        {
            map.Write(4096, Pattern(4096, 9));
            Assert.Equal(4096, Must(Sys.Pread(direct, buffer.Span, 4096)));
            Assert.Equal(Pattern(4096, 9), buffer.Span.ToArray());
            buffer.Span.Fill(7);
            Assert.Equal(4096, Must(Sys.Pwrite(direct, buffer.Span, 8192)));
            Assert.All(map.Read(8192, 4096), static b => Assert.Equal(7, b));
        }

        Assert.All(ReadAt(fd, 8192, 4096), static b => Assert.Equal(7, b));
        Must(Sys.Close(direct));
    }
}
