using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Who may do what: classes, supplementary groups, search, the sticky bit, ownership.</summary>
public sealed class PermissionCases : PosixCases
{
    private static readonly Person s_member = new(65534, 65534, 500, 777);

    private static int OpenAndClose(string name, int flags)
    {
        int fd = Sys.Open(name, flags);
        return fd < 0 ? fd : Sys.Close(fd);
    }

    private void Own(string name, uint uid, uint gid, uint mode)
    {
        Must(Sys.Chown(At(name), uid, gid));
        Must(Sys.Chmod(At(name), mode));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Only_the_first_class_that_fits_counts()
    {
        Make("f");
        Own("f", 65534, 0, 0x3F);
        Fails(E.ACCES, As(Person.Nobody, static () => OpenAndClose("f", Sys.RdOnly)));
        Own("f", 0, 65534, 0x1C7);
        Fails(E.ACCES, As(Person.Nobody, static () => OpenAndClose("f", Sys.RdOnly)));
        Own("f", 0, 0, 4);
        Must(As(Person.Nobody, static () => OpenAndClose("f", Sys.RdOnly)));
        Fails(E.ACCES, As(Person.Nobody, static () => OpenAndClose("f", Sys.WrOnly)));
        Fails(E.ACCES, As(Person.Nobody, static () => OpenAndClose("f", Sys.RdWr)));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Supplementary_groups_count()
    {
        Make("f");
        Own("f", 0, 777, 0x1B0);
        Fails(E.ACCES, As(Person.Nobody, static () => OpenAndClose("f", Sys.RdWr)));
        Must(As(s_member, static () => OpenAndClose("f", Sys.RdWr)));
        Own("f", 0, 777, 0x186);
        Fails(E.ACCES, As(s_member, static () => OpenAndClose("f", Sys.RdWr)));
        Must(Sys.Mkdir(At("d")));
        Own("d", 0, 777, 0x1F8);
        Must(As(s_member, static () => Sys.Close(Sys.Open("d/f", Sys.Creat | Sys.RdWr))));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.Open("d/g", Sys.Creat | Sys.RdWr)));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Search_and_read_of_a_directory_are_two_things()
    {
        Must(Sys.Mkdir(At("d")));
        Make("d/f", "content");
        Must(Sys.Chmod(At("d"), 0x1C1));
        Must(As(Person.Nobody, static () => OpenAndClose("d/f", Sys.RdOnly)));
        Fails(E.ACCES, As(Person.Nobody, static () => OpenAndClose("d", Sys.RdOnly)));
        Must(Sys.Chmod(At("d"), 0x1C4));
        Fails(E.ACCES, As(Person.Nobody, static () => OpenAndClose("d/f", Sys.RdOnly)));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.Stat("d/f", out _)));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.Stat("d/none", out _)));
        Must(As(Person.Nobody, static () => OpenAndClose("d", Sys.RdOnly)));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Names_change_only_where_one_may_write_and_search()
    {
        Must(Sys.Mkdir(At("d")));
        Make("d/f");
        Must(Sys.Mkdir(At("d/e")));
        foreach (uint mode in (uint[])[0x1ED, 0x1C6])
        {
            Must(Sys.Chmod(At("d"), mode));
            Fails(E.ACCES, As(Person.Nobody, static () => Sys.Open("d/n", Sys.Creat | Sys.RdWr)));
            Fails(E.ACCES, As(Person.Nobody, static () => Sys.Mkdir("d/n")));
            Fails(E.ACCES, As(Person.Nobody, static () => Sys.Mknod("d/n", FileStatus.Fifo | 0x1A4)));
            Fails(E.ACCES, As(Person.Nobody, static () => Sys.Symlink("x", "d/n")));
            Fails(E.ACCES, As(Person.Nobody, static () => Sys.Unlink("d/f")));
            Fails(E.ACCES, As(Person.Nobody, static () => Sys.Rmdir("d/e")));
            Fails(E.ACCES, As(Person.Nobody, static () => Sys.Rename("d/f", "d/g")));
        }

        Must(Sys.Chmod(At("d"), 0x1FF));
        Must(As(Person.Nobody, static () => Sys.Rename("d/f", "d/g")));
        Must(As(Person.Nobody, static () => Sys.Unlink("d/g")));
        Must(As(Person.Nobody, static () => Sys.Rmdir("d/e")));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void A_sticky_directory_keeps_what_belongs_to_others()
    {
        Must(Sys.Mkdir(At("s")));
        Must(Sys.Chmod(At("s"), 0x3FF));
        foreach (Person p in (Person[])[Person.Nobody, Person.Other])
        {
            string name = p == Person.Nobody ? "s/mine" : "s/theirs";
            Must(As(p, () => Sys.Close(Sys.Open(name, Sys.Creat | Sys.RdWr, 0x1B6))));
            Must(As(p, () => Sys.Mkdir(name + "-d")));
        }

        Fails(E.PERM, As(Person.Nobody, static () => Sys.Unlink("s/theirs")));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Rmdir("s/theirs-d")));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Rename("s/theirs", "s/x")));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Rename("s/mine", "s/theirs")));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Rename("s/mine", "s/theirs", Sys.Exchange)));
        Must(As(Person.Nobody, static () => Sys.Rename("s/mine", "s/moved")));
        Must(As(Person.Nobody, static () => Sys.Unlink("s/moved")));
        Own("s", 65534, 65534, 0x3FF);
        Must(As(Person.Nobody, static () => Sys.Rmdir("s/theirs-d")));
        Must(As(Person.Nobody, static () => Sys.Unlink("s/theirs")));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Modes_are_changed_by_the_owner_alone()
    {
        Make("f");
        Must(Sys.Chmod(At("f"), 0x1FF));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Chmod("f", 0)));
        Must(Sys.Chown(At("f"), 65534, 65534));
        Must(As(Person.Nobody, static () => Sys.Chmod("f", 0x100)));
        Assert.Equal("400", Stat("f").Octal);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Files_are_given_away_by_root_alone_and_to_ones_own_groups()
    {
        Make("f");
        Must(Sys.Chown(At("f"), 65534, 65534));
        Fails(E.PERM, As(s_member, static () => Sys.Chown("f", 12345, uint.MaxValue)));
        Fails(E.PERM, As(s_member, static () => Sys.Chown("f", uint.MaxValue, 12345)));
        Must(As(s_member, static () => Sys.Chown("f", uint.MaxValue, 777)));
        Must(As(s_member, static () => Sys.Chown("f", 65534, 500)));
        Assert.Equal((65534u, 500u), (Stat("f").Uid, Stat("f").Gid));
        Fails(E.PERM, As(Person.Other, static () => Sys.Chown("f", 12345, 12345)));
        Must(Sys.Symlink("f", At("l")));
        Must(Sys.Chown(At("l"), 1, 2, follow: false));
        Assert.Equal((1u, 2u, 65534u), (Stat("l").Uid, Stat("l").Gid, Stat("f").Uid));
        Must(Sys.Chown(At("f"), 0x7FFFFFFE, 0xFFFFFFFE));
        Assert.Equal((0x7FFFFFFEu, 0xFFFFFFFEu), (Stat("f").Uid, Stat("f").Gid));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Writers_may_touch_but_only_the_owner_may_set_times()
    {
        Make("f");
        Must(Sys.Chmod(At("f"), 0x1A4));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.Touch("f")));
        Must(Sys.Chmod(At("f"), 0x1B6));
        Must(As(Person.Nobody, static () => Sys.Touch("f")));
        Must(As(Person.Nobody, static () => Sys.Utimens("f", (0, Sys.TimeNow), (0, Sys.TimeNow))));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Utimens("f", (1, 0), (1, 0))));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Utimens("f", (0, Sys.TimeOmit), (0, Sys.TimeNow))));
        Must(Sys.Chown(At("f"), 65534, 0));
        Must(Sys.Chmod(At("f"), 0));
        Must(As(Person.Nobody, static () => Sys.Utimens("f", (1, 0), (2, 0))));
        Assert.Equal(new FileTime(2, 0), Stat("f").Mtime);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Truncating_needs_the_right_to_write()
    {
        Make("f", "content");
        Must(Sys.Chmod(At("f"), 0x1A4));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.Truncate("f", 0)));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.Open("f", Sys.RdOnly | Sys.Trunc)));
        Assert.Equal(7ul, Stat("f").Size);
        Must(Sys.Chmod(At("f"), 0x1A6));
        Must(As(Person.Nobody, static () => Sys.Truncate("f", 3)));
        Assert.Equal(3ul, Stat("f").Size);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void A_descriptor_keeps_the_rights_it_was_opened_with()
    {
        Make("f", "content");
        Must(Sys.Chmod(At("f"), 0x1B6));
        int fd = As(Person.Nobody, static () => Must(Sys.Open("f", Sys.RdWr)));
        Must(Sys.Chmod(At("f"), 0));
        Must(Sys.Chown(At("f"), 0, 0));
        Assert.Equal(7, As(Person.Nobody, () => (int)Sys.Read(fd, new byte[10])));
        Assert.Equal(1, As(Person.Nobody, () => (int)Sys.Write(fd, "x"u8)));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.Open("f", Sys.RdOnly)));
        Must(Sys.Close(fd));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Access_tells_what_open_would()
    {
        const int read = 4, write = 2, execute = 1;
        Make("f");
        Must(Sys.Chmod(At("f"), 0x1A5));
        Must(As(Person.Nobody, static () => Sys.Access("f", read | execute)));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.Access("f", write)));
        Must(Sys.Chmod(At("f"), 0));
        Must(Sys.Access(At("f"), read | write));
        Fails(E.ACCES, Sys.Access(At("f"), execute));
        Fails(E.INVAL, Sys.Access(At("f"), 64));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Devices_are_made_by_root_alone()
    {
        Must(Sys.Chmod(Work, 0x1FF));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Mknod("c", FileStatus.Character | 0x1B6, 0x103)));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Mknod("b", FileStatus.Block | 0x1B6, 0x103)));
        Must(As(Person.Nobody, static () => Sys.Mknod("p", FileStatus.Fifo | 0x1B6)));
        Must(As(Person.Nobody, static () => Sys.Mknod("f", FileStatus.Regular | 0x1B6)));
        Assert.Equal((65534u, 65534u), (Stat("p").Uid, Stat("f").Gid));
        Fails(E.PERM, Sys.Mknod(At("d"), FileStatus.Directory | 0x1ED));
        Fails(E.INVAL, Sys.Mknod(At("x"), 0x3000));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void New_files_belong_to_whom_they_are_made_by()
    {
        Must(Sys.Chmod(Work, 0x1FF));
        Must(As(s_member, static () => Sys.Close(Sys.Open("f", Sys.Creat | Sys.RdWr))));
        Must(As(s_member, static () => Sys.Mkdir("d")));
        Must(As(s_member, static () => Sys.Symlink("x", "l")));
        Assert.All((string[])["f", "d", "l"], n => Assert.Equal((65534u, 65534u), (Stat(n).Uid, Stat(n).Gid)));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Extended_attributes_follow_the_rights_of_the_file()
    {
        Make("f");
        Must(Sys.SetXattr(At("f"), "user.a", "v"u8));
        Must(Sys.SetXattr(At("f"), "trusted.t", "v"u8));
        Must(Sys.Chmod(At("f"), 0x1A4));
        Must(As(Person.Nobody, static () => Sys.GetXattr("f", "user.a", new byte[9])));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.SetXattr("f", "user.a", "w"u8)));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.RemoveXattr("f", "user.a")));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.SetXattr("f", "trusted.t", "w"u8)));
        Fails(E.NODATA, As(Person.Nobody, static () => Sys.GetXattr("f", "trusted.t", new byte[9])));
        Must(Sys.Chmod(At("f"), 0x180));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.GetXattr("f", "user.a", new byte[9])));
        Must(Sys.Chmod(At("f"), 0x1B6));
        Must(As(Person.Nobody, static () => Sys.SetXattr("f", "user.a", "w"u8)));
        Must(Sys.Chmod(Work, 0x3FF));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.SetXattr(".", "user.a", "w"u8)));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Trusted_attributes_are_shown_to_root_alone()
    {
        Make("f");
        Must(Sys.SetXattr(At("f"), "user.a", "v"u8));
        Must(Sys.SetXattr(At("f"), "trusted.t", "v"u8));
        Assert.Contains("trusted.t", XattrCases.List(At("f")));
        Assert.Equal(["user.a"], As(Person.Nobody, static () => XattrCases.List("f")));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void O_NOATIME_is_for_the_owner()
    {
        Make("f");
        Must(Sys.Chmod(At("f"), 0x1B6));
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Open("f", Sys.RdOnly | Sys.NoAtime)));
        Must(Sys.Chown(At("f"), 65534, 0));
        Must(As(Person.Nobody, static () => OpenAndClose("f", Sys.RdOnly | Sys.NoAtime)));
    }
}
