using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Directories: making, removing, counting, what can't be done with them, and life after removal.</summary>
public sealed class DirectoryCases : PosixCases
{
    [PosixCase]
    public void Modes_keep_sticky_and_obey_the_umask_and_drop_set_id_bits()
    {
        Must(Person.OnThread(Work, static () => Sys.Mkdir("a", 0x3FF), 0));
        Must(Person.OnThread(Work, static () => Sys.Mkdir("b", 0xFFF), 0x3F));
        Assert.Equal("1777", Stat("a").Octal);
        Assert.Equal("1700", Stat("b").Octal);
    }

    [PosixCase]
    public void A_name_that_exists_is_EEXIST_whatever_it_is()
    {
        Make("f");
        Must(Sys.Mkdir(At("d")));
        Must(Sys.Symlink("none", At("l")));
        foreach (string name in (string[])["f", "d", "l"])
        {
            Fails(E.EXIST, Sys.Mkdir(At(name)));
            Fails(E.EXIST, Sys.Mknod(At(name), FileStatus.Fifo | 0x1A4));
            Fails(E.EXIST, Sys.Symlink("x", At(name)));
            Fails(E.EXIST, Sys.Link(At("f"), At(name)));
            Fails(E.EXIST, Sys.Open(At(name), Sys.Creat | Sys.Excl | Sys.RdWr));
        }
    }

    [PosixCase]
    public void Files_are_unlinked_and_directories_removed_and_not_the_other_way()
    {
        Must(Sys.Mkdir(At("d")));
        Must(Sys.Symlink("d", At("l")));
        Make("f");
        Fails(E.ISDIR, Sys.Unlink(At("d")));
        Fails(E.NOTDIR, Sys.Rmdir(At("f")));
        Fails(E.NOTDIR, Sys.Rmdir(At("l")));
        Fails(E.PERM, Sys.Link(At("d"), At("e")));
        Must(Sys.Unlink(At("l")));
        Must(Sys.Rmdir(At("d")));
        Must(Sys.Unlink(At("f")));
        Assert.Empty(Names());
    }

    [PosixCase]
    public void A_directory_with_anything_in_it_is_not_removed()
    {
        (string, Func<string, int>)[] things =
        [
            ("file", static p => Sys.Close(Sys.Open(p, Sys.Creat | Sys.RdWr))),
            ("directory", static p => Sys.Mkdir(p)),
            ("link", static p => Sys.Symlink("x", p)),
            ("fifo", static p => Sys.Mknod(p, FileStatus.Fifo | 0x1A4)),
        ];
        foreach ((string what, Func<string, int> make) in things)
        {
            Must(Sys.Mkdir(At(what)));
            Must(make(At(what) + "/.hidden"));
            Fails(E.NOTEMPTY, Sys.Rmdir(At(what)));
            Assert.Equal([".hidden"], Names(what));
        }
    }

    [PosixCase]
    public void Links_count_subdirectories_and_nothing_else()
    {
        for (int i = 0; i < 300; i++)
        {
            Must(Sys.Mkdir(At($"d{i}")));
            Must(Sys.Close(Sys.Open(At($"f{i}"), Sys.Creat | Sys.RdWr)));
        }

        Assert.Equal(302u, Stat(".").Links);
        for (int i = 0; i < 300; i += 2)
        {
            Must(Sys.Rmdir(At($"d{i}")));
        }

        Assert.Equal(152u, Stat(".").Links);
        Must(Sys.Rename(At("d1"), At("d3/x")));
        Assert.Equal(151u, Stat(".").Links);
        Assert.Equal(3u, Stat("d3").Links);
        Assert.Equal(2u, Stat("d3/x").Links);
    }

    [PosixCase]
    public void A_removed_directory_that_is_open_is_dead()
    {
        Must(Sys.Mkdir(At("d")));
        int fd = Open("d", Sys.RdOnly | Sys.Directory);
        Must(Sys.Rmdir(At("d")));
        Assert.Equal(0u, Fstat(fd).Links);
        Fails(E.NOENT, Sys.OpenAt(fd, "f", Sys.Creat | Sys.RdWr));
        Fails(E.NOENT, Sys.MkdirAt(fd, "d"));
        Make("g");
        Fails(E.NOENT, Sys.RenameAt(Sys.Cwd, At("g"), fd, "g"));
        Fails(E.NOENT, Sys.LinkAt(Sys.Cwd, At("g"), fd, "h", 0));
        Assert.Equal(["g"], Names());
        Must(Sys.Mkdir(At("d")));
        Fails(E.NOENT, Sys.OpenAt(fd, "f", Sys.Creat | Sys.RdWr));
    }

    [PosixCase]
    public void A_directory_replaced_by_rename_is_dead()
    {
        Must(Sys.Mkdir(At("old")));
        Must(Sys.Mkdir(At("new")));
        int fd = Open("old", Sys.RdOnly | Sys.Directory);
        Must(Sys.Rename(At("new"), At("old")));
        Assert.Equal(0u, Fstat(fd).Links);
        Fails(E.NOENT, Sys.OpenAt(fd, "f", Sys.Creat | Sys.RdWr));
        Assert.Equal(3u, Stat(".").Links);
    }

    [PosixCase]
    public void A_directory_is_neither_written_nor_read_nor_truncated()
    {
        Must(Sys.Mkdir(At("d")));
        Fails(E.ISDIR, Sys.Open(At("d"), Sys.WrOnly));
        Fails(E.ISDIR, Sys.Open(At("d"), Sys.RdWr));
        Fails(E.ISDIR, Sys.Open(At("d"), Sys.RdOnly | Sys.Creat));
        Fails(E.ISDIR, Sys.Open(At("d"), Sys.RdOnly | Sys.Trunc));
        Fails(E.ISDIR, Sys.Truncate(At("d"), 0));
        int fd = Open("d", Sys.RdOnly);
        Fails(E.ISDIR, Sys.Read(fd, new byte[10]));
        Fails(E.BADF, Sys.Write(fd, "x"u8));
        Fails(E.INVAL, Sys.Ftruncate(fd, 0));
        Fails(E.BADF, Sys.Fallocate(fd, 0, 0, 10));
        Fails(E.NODEV, Sys.Mmap(4096, 1, 1, fd));
        Must(Sys.Fsync(fd));
        Must(Sys.Fdatasync(fd));
    }

    [PosixCase]
    public void The_root_of_a_mount_is_not_removed()
    {
        if (Target.IsMountPoint)
        {
            Fails(E.BUSY, Sys.Rmdir(Root));
        }
    }

    [PosixCase]
    public void A_tree_of_120_levels_is_walked_up_and_down()
    {
        string path = Work;
        for (int i = 0; i < 120; i++)
        {
            path += "/level";
            Must(Sys.Mkdir(path));
        }

        File.WriteAllText(path + "/f", "deep");
        string up = path + string.Concat(Enumerable.Repeat("/..", 120));
        Must(Sys.Stat(up, out FileStatus top));
        Assert.Equal(Stat(".").Inode, top.Inode);
        Must(Sys.Rename(At("level/level"), At("moved")));
        Must(Sys.Stat(At("moved/.."), out FileStatus parent));
        Assert.Equal(Stat(".").Inode, parent.Inode);
    }
}
