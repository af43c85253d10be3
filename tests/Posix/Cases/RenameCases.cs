using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>rename(2) and renameat2(2): what replaces what, what stays, link counts, and every refusal.</summary>
public sealed class RenameCases : PosixCases
{
    [PosixCase]
    public void Two_names_of_one_file_both_stay()
    {
        Make("a");
        Must(Sys.Link(At("a"), At("b")));
        Must(Sys.Rename(At("a"), At("b")));
        Must(Sys.Rename(At("a"), At("a")));
        Assert.Equal(["a", "b"], Names());
        Assert.Equal(2u, Stat("a").Links);
    }

    [PosixCase]
    public void A_file_replaces_any_kind_but_a_directory()
    {
        (string, Func<string, int>)[] kinds =
        [
            ("file", static p => Sys.Close(Sys.Open(p, Sys.Creat | Sys.RdWr))),
            ("link", static p => Sys.Symlink("x", p)),
            ("fifo", static p => Sys.Mknod(p, FileStatus.Fifo | 0x1A4)),
        ];
        foreach ((string name, Func<string, int> make) in kinds)
        {
            Make("f", name);
            ulong inode = Stat("f").Inode;
            Must(make(At(name)));
            Must(Sys.Rename(At("f"), At(name)));
            Assert.Equal((inode, name), (Stat(name).Inode, File.ReadAllText(At(name))));
        }

        Make("f");
        Must(Sys.Mkdir(At("d")));
        Fails(E.ISDIR, Sys.Rename(At("f"), At("d")));
        Fails(E.NOTDIR, Sys.Rename(At("d"), At("f")));
        Must(Sys.Symlink("d", At("ld")));
        Fails(E.NOTDIR, Sys.Rename(At("d"), At("ld")));
        Assert.Equal(FileStatus.Directory, Stat("d").Type);
    }

    [PosixCase]
    public void A_link_is_renamed_itself()
    {
        Make("target");
        Must(Sys.Symlink("target", At("l")));
        Must(Sys.Rename(At("l"), At("m")));
        Assert.Equal(["m", "target"], Names());
        Assert.Equal(FileStatus.Link, Stat("m").Type);
    }

    [PosixCase]
    public void A_directory_replaces_an_empty_one_only()
    {
        Must(Sys.Mkdir(At("a")));
        Must(Sys.Mkdir(At("b")));
        Make("a/f");
        Make("b/g");
        Fails(E.NOTEMPTY, Sys.Rename(At("a"), At("b")));
        Must(Sys.Unlink(At("b/g")));
        Must(Sys.Rename(At("a"), At("b")));
        Assert.Equal(["b"], Names());
        Assert.Equal(["f"], Names("b"));
        Assert.Equal(3u, Stat(".").Links);
    }

    [PosixCase]
    public void A_directory_goes_neither_into_itself_nor_over_what_holds_it()
    {
        Must(Sys.Mkdir(At("a")));
        Must(Sys.Mkdir(At("a/b")));
        Must(Sys.Mkdir(At("a/b/c")));
        Fails(E.INVAL, Sys.Rename(At("a"), At("a/x")));
        Fails(E.INVAL, Sys.Rename(At("a"), At("a/b/c/x")));
        Fails(E.INVAL, Sys.Rename(At("a"), At("a/b")));
        Fails(E.NOTEMPTY, Sys.Rename(At("a/b/c"), At("a")));
        Fails(E.NOTEMPTY, Sys.Rename(At("a/b/c"), At("a/b")));
        Fails(E.INVAL, Sys.Rename(At("a"), At("a/b/c"), Sys.Exchange));
        Fails(E.INVAL, Sys.Rename(At("a/b/c"), At("a"), Sys.Exchange));
    }

    [PosixCase]
    public void Noreplace_leaves_both_as_they_are()
    {
        Make("a", "1");
        Make("b", "2");
        Must(Sys.Mkdir(At("d")));
        Fails(E.EXIST, Sys.Rename(At("a"), At("b"), Sys.NoReplace));
        Fails(E.EXIST, Sys.Rename(At("a"), At("a"), Sys.NoReplace));
        Fails(E.EXIST, Sys.Rename(At("a"), At("d"), Sys.NoReplace));
        Fails(E.NOENT, Sys.Rename(At("none"), At("c"), Sys.NoReplace));
        Assert.Equal(("1", "2"), (File.ReadAllText(At("a")), File.ReadAllText(At("b"))));
        Must(Sys.Rename(At("d"), At("e"), Sys.NoReplace));
        Assert.Equal(["a", "b", "e"], Names());
    }

    [PosixCase]
    public void Exchange_swaps_whatever_the_two_are()
    {
        Must(Sys.Mkdir(At("p")));
        Must(Sys.Mkdir(At("q")));
        Must(Sys.Mkdir(At("p/x")));
        Make("p/x/inside");
        Make("q/x", "file");
        ulong dir = Stat("p/x").Inode, file = Stat("q/x").Inode;
        Must(Sys.Rename(At("p/x"), At("q/x"), Sys.Exchange));
        Assert.Equal((file, dir), (Stat("p/x").Inode, Stat("q/x").Inode));
        Assert.Equal((2u, 3u), (Stat("p").Links, Stat("q").Links));
        Assert.Equal(Stat("q").Inode, Stat("q/x/..").Inode);
        Assert.Equal(["inside"], Names("q/x"));
        Fails(E.NOENT, Sys.Rename(At("p/x"), At("p/none"), Sys.Exchange));
        Must(Sys.Rename(At("p/x"), At("p/x"), Sys.Exchange));
    }

    [PosixCase]
    public void Flags_that_contradict_or_do_not_exist_are_EINVAL()
    {
        Make("a");
        Make("b");
        Fails(E.INVAL, Sys.Rename(At("a"), At("b"), Sys.NoReplace | Sys.Exchange));
        Fails(E.INVAL, Sys.Rename(At("a"), At("b"), 0x80));
        Assert.Equal(["a", "b"], Names());
    }

    [PosixCase]
    public void What_was_replaced_loses_a_link_and_lives_while_it_is_open()
    {
        Make("a", "new");
        Make("b", "old");
        Must(Sys.Link(At("b"), At("c")));
        int fd = Open("b", Sys.RdWr);
        Must(Sys.Rename(At("a"), At("b")));
        Assert.Equal(1u, Fstat(fd).Links);
        Assert.Equal("old", File.ReadAllText(At("c")));
        Make("a", "newer");
        Must(Sys.Rename(At("a"), At("c")));
        Assert.Equal(0u, Fstat(fd).Links);
        Assert.Equal(Bytes("old"), ReadAt(fd, 0, 10));
    }

    [PosixCase]
    public void Renamed_directories_keep_their_parent_right()
    {
        Must(Sys.Mkdir(At("a")));
        Must(Sys.Mkdir(At("a/s")));
        Must(Sys.Mkdir(At("b")));
        int fd = Open("a/s", Sys.RdOnly | Sys.Directory);
        Must(Sys.Rename(At("a/s"), At("b/s")));
        Must(Sys.Close(Must(Sys.OpenAt(fd, "../made", Sys.Creat | Sys.RdWr))));
        Assert.Equal(["made", "s"], Names("b"));
        Must(Sys.Rename(At("b/s"), At("s")));
        Assert.Equal(Stat(".").Inode, Stat("s/..").Inode);
        Assert.Equal((2u, 2u, 5u), (Stat("a").Links, Stat("b").Links, Stat(".").Links));
    }

    [PosixCase]
    public void A_name_is_there_at_every_moment_while_others_replace_it()
    {
        Make("target", "0");
        bool done = false;
        var writer = new Thread(() =>
        {
            for (int i = 0; i < 300; i++)
            {
                File.WriteAllText(At("next"), "1");
                Must(Sys.Rename(At("next"), At("target")));
            }

            Volatile.Write(ref done, true);
        });
        writer.Start();
        int misses = 0;
        while (!Volatile.Read(ref done))
        {
            int fd = Sys.Open(At("target"), Sys.RdOnly);
            misses += fd < 0 ? 1 : 0;
            _ = fd < 0 ? 0 : Sys.Close(fd);
        }

        writer.Join();
        Assert.Equal(0, misses);
    }
}
