using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Hard links: what may have them, how they count, how many there may be.</summary>
public sealed class LinkCases : PosixCases
{
    [PosixCase]
    public void Every_kind_but_a_directory_can_have_two_names()
    {
        Make("file");
        Must(Sys.Mknod(At("fifo"), FileStatus.Fifo | 0x1A4));
        Must(Sys.Mknod(At("socket"), FileStatus.Socket | 0x1A4));
        Must(Sys.Symlink("none", At("link")));
        foreach (string name in (string[])["file", "fifo", "socket", "link"])
        {
            FileStatus before = Stat(name);
            Must(Sys.Link(At(name), At(name + "2")));
            Assert.Equal((before.Inode, before.Mode, 2u), (Stat(name + "2").Inode, Stat(name + "2").Mode, Stat(name).Links));
            Must(Sys.Unlink(At(name)));
            Assert.Equal(1u, Stat(name + "2").Links);
        }
    }

    [PosixCase]
    public void A_link_to_a_link_is_to_the_link_unless_it_is_to_be_followed()
    {
        Make("f");
        Must(Sys.Symlink("f", At("l")));
        Must(Sys.Link(At("l"), At("m")));
        Must(Sys.Link(At("l"), At("g"), Sys.SymlinkFollow));
        Assert.Equal((FileStatus.Link, 2u), (Stat("m").Type, Stat("l").Links));
        Assert.Equal(Stat("f").Inode, Stat("g").Inode);
    }

    [PosixCase]
    public void A_file_without_a_name_gets_no_new_one()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        Must(Sys.Unlink(At("f")));
        Assert.Equal(0u, Fstat(fd).Links);
        Fails(E.NOENT, Sys.LinkAt(Sys.Cwd, $"/proc/self/fd/{fd}", Sys.Cwd, At("g"), Sys.SymlinkFollow));
        Assert.Empty(Names());
    }

    [PosixCase]
    public void Contents_and_attributes_are_the_same_by_every_name()
    {
        Make("a");
        Must(Sys.Link(At("a"), At("b")));
        Must(Sys.Chmod(At("a"), 0x180));
        Must(Sys.Truncate(At("b"), 1000));
        FileStatus a = Stat("a"), b = Stat("b");
        Assert.Equal(("600", 1000ul), (a.Octal, a.Size));
        Assert.Equal((a.Octal, a.Size, a.Ctime, a.Mtime), (b.Octal, b.Size, b.Ctime, b.Mtime));
    }

    [PosixCase]
    public void Links_count_up_and_down_exactly()
    {
        Make("f");
        for (int i = 0; i < 500; i++)
        {
            Must(Sys.Link(At("f"), At($"l{i}")));
        }

        Assert.Equal(501u, Stat("f").Links);
        for (int i = 0; i < 500; i += 2)
        {
            Must(Sys.Unlink(At($"l{i}")));
        }

        Assert.Equal(251u, Stat("l1").Links);
    }

    [PosixCase(Needs = PosixNeeds.Time)]
    public void More_links_than_there_can_be_are_EMLINK()
    {
        const int enough = 66_000;
        Make("f");
        uint links = 1;
        int result = 0;
        while (links < enough && result >= 0)
        {
            result = Sys.Link(At("f"), At($"l{links}"));
            links += result >= 0 ? 1u : 0;
        }

        Assert.Equal(links, Stat("f").Links);
        if (result < 0)
        {
            Fails(E.MLINK, result);
            Must(Sys.Unlink(At("l1")));
            Must(Sys.Link(At("f"), At("again")));
        }
    }
}
