using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Names and paths: how long, which bytes, where they lead, and the errors of those that lead nowhere.</summary>
public sealed class NameCases : PosixCases
{
    private static readonly string s_longest = new('n', 255);
    private static readonly string s_tooLong = new('n', 256);

    [PosixCase]
    public void Every_call_that_makes_a_name_takes_255_bytes_and_refuses_256()
    {
        Make("f");
        (string What, Func<string, int> Make, Func<string, int> Remove)[] calls =
        [
            ("open", p => Sys.Close(Must(Sys.Open(p, Sys.Creat | Sys.RdWr))), Sys.Unlink),
            ("mkdir", static p => Sys.Mkdir(p), Sys.Rmdir),
            ("mknod", static p => Sys.Mknod(p, FileStatus.Fifo | 0x1A4), Sys.Unlink),
            ("symlink", static p => Sys.Symlink("x", p), Sys.Unlink),
            ("link", p => Sys.Link(At("f"), p), Sys.Unlink),
            ("rename", p => Sys.Rename(At("f"), p), p => Sys.Rename(p, At("f"))),
        ];
        foreach ((string what, Func<string, int> make, Func<string, int> remove) in calls)
        {
            Must(make(At(s_longest)));
            Assert.Contains(s_longest, Names());
            Must(remove(At(s_longest)));
            int result = what == "open" ? Sys.Open(At(s_tooLong), Sys.Creat | Sys.RdWr) : make(At(s_tooLong));
            Fails(E.NAMETOOLONG, result);
        }
    }

    [PosixCase]
    public void Every_call_that_takes_a_name_refuses_256_bytes()
    {
        string p = At(s_tooLong);
        Make("f");
        Fails(E.NAMETOOLONG, Sys.Stat(p, out _));
        Fails(E.NAMETOOLONG, Sys.Unlink(p));
        Fails(E.NAMETOOLONG, Sys.Rmdir(p));
        Fails(E.NAMETOOLONG, Sys.Rename(p, At("g")));
        Fails(E.NAMETOOLONG, Sys.Rename(At("f"), p));
        Fails(E.NAMETOOLONG, Sys.ReadLink(p, out _));
        Fails(E.NAMETOOLONG, Sys.Chmod(p, 0));
        Fails(E.NAMETOOLONG, Sys.Truncate(p, 0));
        Fails(E.NAMETOOLONG, Sys.Access(p, 0));
        Fails(E.NAMETOOLONG, Sys.Open(p + "/x", Sys.RdOnly));
        Assert.Equal(["f"], Names());
    }

    [PosixCase]
    public void Multibyte_names_are_counted_in_bytes()
    {
        string longest = new string('é', 127) + "n";
        Make(longest);
        Assert.Equal([longest], Names());
        Fails(E.NAMETOOLONG, Sys.Open(At(new string('é', 128)), Sys.Creat | Sys.RdWr));
    }

    [PosixCase]
    public void A_name_is_any_bytes_but_slash_and_nul()
    {
        int dir = Open(".", Sys.RdOnly | Sys.Directory);
        int made = 0;
        for (int b = 1; b < 256; b++)
        {
            if (b is '/' or '.')
            {
                continue;
            }

            Must(Sys.Close(Must(Sys.OpenAt(dir, [(byte)b], Sys.Creat | Sys.Excl | Sys.WrOnly))));
            made++;
        }

        Assert.Equal(made, DirectoryStream.All(Work).Count(static e => e.Name.Length == 1 && e.Name[0] != '.'));
        Assert.Equal(made, DirectoryStream.All(Work).Select(static e => Convert.ToHexString(e.Name)).Where(static n => n is not ("2E" or "2E2E")).Distinct().Count());
        for (int b = 1; b < 256; b++)
        {
            if (b is not ('/' or '.'))
            {
                Must(Sys.UnlinkAt(dir, [(byte)b], 0));
            }
        }

        Assert.Empty(Names());
    }

    [PosixCase]
    public void Names_that_differ_in_case_or_composition_are_different()
    {
        string[] names = ["a", "A", "\u00e9", "e\u0301", "ß", "ss"];
        foreach (string name in names)
        {
            Make(name, name);
        }

        Assert.Equal(names.Order(StringComparer.Ordinal), Names());
        Assert.All(names, n => Assert.Equal(n, File.ReadAllText(At(n))));
    }

    [PosixCase]
    public void A_path_of_4095_bytes_works_and_one_of_4096_does_not()
    {
        Make("f");
        string start = Work + "/";
        string fill = string.Concat(Enumerable.Repeat("./", (4095 - start.Length - 1) / 2));
        string path = start + fill + ((4095 - start.Length - 1) % 2 == 0 ? string.Empty : "/") + "f";
        Assert.Equal(4095, path.Length);
        Must(Sys.Stat(path, out _));
        Fails(E.NAMETOOLONG, Sys.Stat(start + "/" + path[start.Length..], out _));
    }

    [PosixCase]
    public void An_empty_path_leads_nowhere()
    {
        Fails(E.NOENT, Sys.Open(string.Empty, Sys.RdOnly));
        Fails(E.NOENT, Sys.Unlink(string.Empty));
        Fails(E.NOENT, Sys.Mkdir(string.Empty));
        Make("f");
        Fails(E.NOENT, Sys.Rename(At("f"), string.Empty));
        Fails(E.NOENT, Sys.Link(string.Empty, At("g")));
        Fails(E.NOENT, Sys.Symlink(string.Empty, At("l")));
    }

    [PosixCase]
    public void Below_nothing_is_ENOENT_and_below_a_file_ENOTDIR()
    {
        Make("f");
        Must(Sys.Symlink("nothing", At("l")));
        foreach ((string parent, int error) in ((string, int)[])[("none", E.NOENT), ("l", E.NOENT), ("f", E.NOTDIR)])
        {
            string p = At(parent) + "/x";
            Fails(error, Sys.Open(p, Sys.RdOnly));
            Fails(error, Sys.Open(p, Sys.Creat | Sys.RdWr));
            Fails(error, Sys.Mkdir(p));
            Fails(error, Sys.Mknod(p, FileStatus.Fifo | 0x1A4));
            Fails(error, Sys.Symlink("t", p));
            Fails(error, Sys.Link(At("f"), p));
            Fails(error, Sys.Rename(At("f"), p));
            Fails(error, Sys.Rename(p, At("g")));
            Fails(error, Sys.Unlink(p));
            Fails(error, Sys.Rmdir(p));
            Fails(error, Sys.Stat(p, out _));
            Fails(error, Sys.Truncate(p, 0));
            Fails(error, Sys.Chmod(p, 0x1A4));
            Fails(error, Sys.Chown(p, 0, 0));
            Fails(error, Sys.ReadLink(p, out _));
            Fails(error, Sys.Touch(p));
            Fails(error, Sys.SetXattr(p, "user.a", "v"u8));
        }

        Assert.Equal(["f", "l"], Names());
    }

    [PosixCase]
    public void What_does_not_exist_is_ENOENT()
    {
        string p = At("none");
        Fails(E.NOENT, Sys.Open(p, Sys.RdOnly));
        Fails(E.NOENT, Sys.Unlink(p));
        Fails(E.NOENT, Sys.Rmdir(p));
        Fails(E.NOENT, Sys.Rename(p, At("x")));
        Fails(E.NOENT, Sys.Link(p, At("x")));
        Fails(E.NOENT, Sys.Truncate(p, 0));
        Fails(E.NOENT, Sys.Chmod(p, 0x1A4));
        Fails(E.NOENT, Sys.Chown(p, 0, 0));
        Fails(E.NOENT, Sys.ReadLink(p, out _));
        Fails(E.NOENT, Sys.Touch(p));
        Fails(E.NOENT, Sys.Access(p, 0));
        Fails(E.NOENT, Sys.SetXattr(p, "user.a", "v"u8));
        Fails(E.NOENT, Sys.GetXattr(p, "user.a", default));
        Fails(E.NOENT, Sys.RemoveXattr(p, "user.a"));
        Assert.Empty(Names());
    }

    [PosixCase]
    public void A_trailing_slash_asks_for_a_directory()
    {
        Make("f");
        Must(Sys.Mkdir(At("d/")));
        Must(Sys.Symlink("d", At("l")));
        Fails(E.NOTDIR, Sys.Open(At("f/"), Sys.RdOnly));
        Fails(E.NOTDIR, Sys.Stat(At("f/"), out _));
        Fails(E.NOTDIR, Sys.Unlink(At("f/")));
        Fails(E.NOTDIR, Sys.Rename(At("f"), At("g/")));
        Fails(E.ISDIR, Sys.Open(At("new/"), Sys.Creat | Sys.RdWr));
        Fails(E.NOENT, Sys.Symlink("x", At("new/")));
        Fails(E.NOTDIR, Sys.Rmdir(At("l/")));
        Must(Sys.Stat(At("l/"), out FileStatus status));
        Assert.Equal(FileStatus.Directory, status.Type);
        Must(Sys.Rename(At("d/"), At("e/")));
        Must(Sys.Rmdir(At("e/")));
    }

    [PosixCase]
    public void The_dots_can_be_neither_made_nor_removed_nor_renamed()
    {
        Must(Sys.Mkdir(At("d")));
        Fails(E.EXIST, Sys.Mkdir(At("d/.")));
        Fails(E.EXIST, Sys.Mkdir(At("d/..")));
        Fails(E.INVAL, Sys.Rmdir(At("d/.")));
        Fails(E.NOTEMPTY, Sys.Rmdir(At("d/..")));
        Fails(E.ISDIR, Sys.Unlink(At("d/.")));
        Fails(E.BUSY, Sys.Rename(At("d/."), At("x")));
        Fails(E.BUSY, Sys.Rename(At("d/.."), At("x")));
        Fails(E.BUSY, Sys.Rename(At("d"), At("d/.")));
        Fails(E.EXIST, Sys.Symlink("x", At("d/.")));
        Assert.Equal(Stat("d").Inode, Stat("d/.").Inode);
        Assert.Equal(Stat(".").Inode, Stat("d/..").Inode);
    }

    [PosixCase]
    public void Links_in_a_circle_are_ELOOP()
    {
        Must(Sys.Symlink("b", At("a")));
        Must(Sys.Symlink("a", At("b")));
        Fails(E.LOOP, Sys.Open(At("a"), Sys.RdOnly));
        Fails(E.LOOP, Sys.Open(At("a/x"), Sys.Creat | Sys.RdWr));
        Fails(E.LOOP, Sys.Stat(At("a"), out _, follow: true));
        Fails(E.LOOP, Sys.Chmod(At("a"), 0));
        Fails(E.LOOP, Sys.Truncate(At("a"), 0));
        Fails(E.LOOP, Sys.Mkdir(At("a/x")));
        Fails(E.LOOP, Sys.Rename(At("a/x"), At("y")));
        Must(Sys.Stat(At("a"), out _));
        Must(Sys.Rename(At("a"), At("c")));
        Must(Sys.Unlink(At("b")));
    }

    [PosixCase]
    public void Forty_links_in_a_row_are_followed_and_no_more()
    {
        Make("0", "end");
        for (int i = 1; i <= 41; i++)
        {
            Must(Sys.Symlink($"{i - 1}", At($"{i}")));
        }

        Assert.Equal("end", File.ReadAllText(At("40")));
        Fails(E.LOOP, Sys.Open(At("41"), Sys.RdOnly));
    }

    [PosixCase]
    public void A_link_to_nothing_can_be_created_through_but_not_exclusively()
    {
        Must(Sys.Symlink("target", At("l")));
        Fails(E.NOENT, Sys.Open(At("l"), Sys.RdWr));
        Fails(E.EXIST, Sys.Open(At("l"), Sys.RdWr | Sys.Creat | Sys.Excl));
        Fails(E.EXIST, Sys.Mkdir(At("l")));
        Fails(E.LOOP, Sys.Open(At("l"), Sys.RdWr | Sys.NoFollow));
        Close(Open("l", Sys.RdWr | Sys.Creat));
        Assert.Equal(["l", "target"], Names());
    }

    [PosixCase]
    public void A_target_of_4095_bytes_can_be_stored_and_one_of_4096_can_not()
    {
        string longest = new('t', 4095);
        Must(Sys.Symlink(longest, At("l")));
        Must(Sys.ReadLink(At("l"), out string target));
        Assert.Equal(longest, target);
        Assert.Equal(4095ul, Stat("l").Size);
        Fails(E.NAMETOOLONG, Sys.Symlink(longest + "t", At("m")));
        Make("f");
        Fails(E.INVAL, Sys.ReadLink(At("f"), out _));
        Fails(E.EXIST, Sys.Symlink("t", At("f")));
    }

    [PosixCase]
    public void Another_file_system_is_EXDEV()
    {
        string other = Directory.CreateTempSubdirectory("posix-").FullName;
        try
        {
            File.WriteAllText(other + "/o", "o");
            Make("f");
            Must(Sys.Stat(other, out FileStatus there));
            if (there.Device == Stat(".").Device)
            {
                return;
            }

            Fails(E.XDEV, Sys.Rename(At("f"), other + "/f"));
            Fails(E.XDEV, Sys.Rename(other + "/o", At("o")));
            Fails(E.XDEV, Sys.Link(At("f"), other + "/f"));
            Fails(E.XDEV, Sys.Link(other + "/o", At("o")));
            Assert.Equal(["f"], Names());
        }
        finally
        {
            Directory.Delete(other, recursive: true);
        }
    }
}
