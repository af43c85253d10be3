using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Set-user-id, set-group-id and file capabilities: who can set them, and what takes them away.</summary>
public sealed class SetIdCases : PosixCases
{
    private const uint Both = 0xDFF; // 06777

    private static readonly Person s_member = new(65534, 65534, 777);

    /// <summary>A capability as the kernel stores it: version 2, cap_net_raw permitted.</summary>
    private static readonly byte[] s_capability = [0, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    private void Program(string name, uint mode)
    {
        Make(name, "program");
        Must(Sys.Chown(At(name), 0, 0));
        Must(Sys.Chmod(At(name), mode));
        Assert.Equal(mode, Stat(name).Permissions);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void A_write_by_somebody_else_takes_them_away()
    {
        (string, Func<int>)[] changes =
        [
            ("write", static () => (int)With(static fd => Sys.Write(fd, "x"u8))),
            ("pwrite", static () => (int)With(static fd => Sys.Pwrite(fd, "x"u8, 5))),
            ("ftruncate", static () => (int)With(static fd => Sys.Ftruncate(fd, 3))),
            ("truncate", static () => Sys.Truncate("f", 3)),
            ("open with O_TRUNC", static () => Sys.Close(Sys.Open("f", Sys.WrOnly | Sys.Trunc))),
            ("fallocate", static () => (int)With(static fd => Sys.Fallocate(fd, 0, 0, 100))),
            ("punching a hole", static () => (int)With(static fd => Sys.Fallocate(fd, Sys.PunchHole | Sys.KeepSize, 0, 3))),
        ];
        foreach ((string what, Func<int> change) in changes)
        {
            Program("f", Both);
            Must(As(Person.Nobody, change));
            Assert.Equal((what, "777"), (what, Stat("f").Octal));
            Must(Sys.Unlink(At("f")));
        }
    }

    private static long With(Func<int, long> change)
    {
        int fd = Must(Sys.Open("f", Sys.RdWr));
        long result = change(fd);
        Must(Sys.Close(fd));
        return result;
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Roots_own_writes_leave_them()
    {
        Program("f", Both);
        int fd = Open("f", Sys.RdWr);
        WriteAt(fd, 0, "x"u8);
        Must(Sys.Ftruncate(fd, 3));
        Assert.Equal("6777", Stat("f").Octal);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Opening_and_reading_leave_them()
    {
        Program("f", Both);
        Must(As(Person.Nobody, static () => (int)With(static fd => Sys.Read(fd, new byte[5]))));
        Must(As(Person.Nobody, static () => (int)With(static fd => Sys.Write(fd, default))));
        Assert.Equal("6777", Stat("f").Octal);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void A_change_of_owner_or_group_takes_them_from_files()
    {
        foreach ((uint uid, uint gid) in ((uint, uint)[])[(1, 1), (1, uint.MaxValue), (uint.MaxValue, 1), (0, 0)])
        {
            Program("f", Both);
            Must(Sys.Chown(At("f"), uid, gid));
            Assert.Equal((uid, gid, "777"), (uid, gid, Stat("f").Octal));
            Must(Sys.Unlink(At("f")));
        }
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Set_group_id_without_group_execute_is_left_to_those_who_may()
    {
        Program("f", 0x5B4); // 02664
        Must(Sys.Chown(At("f"), 1, 1));
        Assert.Equal("2664", Stat("f").Octal);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Directories_keep_theirs()
    {
        Must(Sys.Mkdir(At("d")));
        Must(Sys.Chmod(At("d"), Both));
        Must(Sys.Chown(At("d"), 1, 1));
        Assert.Equal("6777", Stat("d").Octal);
        Must(As(Person.Nobody, static () => Sys.Mkdir("d/e")));
        Assert.Equal("6777", Stat("d").Octal);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Set_group_id_is_only_for_members_of_the_group()
    {
        Make("f");
        Must(Sys.Chown(At("f"), 65534, 777));
        Must(As(Person.Nobody, static () => Sys.Chmod("f", 0x5ED)));
        Assert.Equal("755", Stat("f").Octal);
        Must(As(s_member, static () => Sys.Chmod("f", 0x5ED)));
        Assert.Equal("2755", Stat("f").Octal);
        Must(As(Person.Nobody, static () => Sys.Chmod("f", 0x9ED)));
        Assert.Equal("4755", Stat("f").Octal);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void A_set_group_id_directory_hands_down_its_group_and_to_directories_the_bit()
    {
        Must(Sys.Chown(Work, 0, 777));
        Must(Sys.Chmod(Work, 0x5FF));
        Must(As(Person.Nobody, static () => Sys.Close(Sys.Open("f", Sys.Creat | Sys.RdWr, 0x1ED))));
        Must(As(Person.Nobody, static () => Sys.Mkdir("d")));
        Must(As(Person.Nobody, static () => Sys.Symlink("x", "l")));
        Must(As(Person.Nobody, static () => Sys.Mknod("p", FileStatus.Fifo | 0x1A4)));
        Assert.All((string[])["f", "d", "l", "p"], n => Assert.Equal((65534u, 777u), (Stat(n).Uid, Stat(n).Gid)));
        Assert.Equal(("755", "2755"), (Stat("f").Octal, Stat("d").Octal));
        Must(As(Person.Nobody, static () => Sys.Close(Sys.Open("g", Sys.Creat | Sys.RdWr, 0x5ED))));
        Assert.Equal("755", Stat("g").Octal);
        Must(As(s_member, static () => Sys.Close(Sys.Open("h", Sys.Creat | Sys.RdWr, 0x5ED))));
        Assert.Equal("2755", Stat("h").Octal);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void A_file_capability_goes_with_the_first_change()
    {
        (string, Func<int>)[] changes =
        [
            ("write", () => (int)With2(static fd => Sys.Write(fd, "x"u8))),
            ("ftruncate", () => (int)With2(static fd => Sys.Ftruncate(fd, 3))),
            ("chown", () => Sys.Chown(At("f"), 1, 1)),
        ];
        foreach ((string what, Func<int> change) in changes)
        {
            Program("f", 0x1ED);
            Must(Sys.SetXattr(At("f"), "security.capability", s_capability));
            byte[] stored = new byte[64];
            Assert.Equal(s_capability.Length, Sys.GetXattr(At("f"), "security.capability", stored));
            Must(change());
            Assert.Equal((what, -E.NODATA), (what, Sys.GetXattr(At("f"), "security.capability", stored)));
            Must(Sys.Unlink(At("f")));
        }
    }

    private long With2(Func<int, long> change)
    {
        int fd = Must(Sys.Open(At("f"), Sys.RdWr));
        long result = change(fd);
        Must(Sys.Close(fd));
        return result;
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Chmod_sets_all_twelve_bits_as_told()
    {
        Make("f");
        Must(Sys.Mkdir(At("d")));
        foreach (string name in (string[])["f", "d"])
        {
            for (uint mode = 0; mode < 0x1000; mode += 0x49)
            {
                Must(Sys.Chmod(At(name), mode));
                Assert.Equal(mode, Stat(name).Permissions);
            }

            Must(Sys.Chmod(At(name), 0x1ED));
        }
    }
}
