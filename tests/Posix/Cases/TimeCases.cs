using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Which call changes which time. Access times: with relatime or strictatime; a mount with noatime does not pass.</summary>
public sealed class TimeCases : PosixCases
{
    [Flags]
    private enum Changed
    {
        None = 0,
        Atime = 1,
        Mtime = 2,
        Ctime = 4,
        Contents = Mtime | Ctime,
    }

    /// <summary>Clocks of file systems tick every few milliseconds.</summary>
    private const int TickMs = 12;

    /// <summary>Does something, and compares the times of each file named before and after.</summary>
    private void Expect(string what, Action action, params (string Name, Changed Changed)[] files)
    {
        FileStatus[] before = [.. files.Select(f => Stat(f.Name))];
        Thread.Sleep(TickMs);
        action();
        for (int i = 0; i < files.Length; i++)
        {
            FileStatus a = before[i], b = Stat(files[i].Name);
            Assert.Equal(a.Inode, b.Inode);
            Changed changed = (b.Atime != a.Atime ? Changed.Atime : 0) | (b.Mtime != a.Mtime ? Changed.Mtime : 0) | (b.Ctime != a.Ctime ? Changed.Ctime : 0);
            Assert.Equal((what, files[i].Name, files[i].Changed), (what, files[i].Name, changed));
            Assert.True(b.Ctime >= a.Ctime, $"{what}: ctime went back from {a.Ctime} to {b.Ctime}");
        }
    }

    private void Expect(string what, Func<long> call, params (string Name, Changed Changed)[] files) => Expect(what, () => { Must(call()); }, files);

    [PosixCase]
    public void A_new_file_has_four_times_of_its_making()
    {
        FileTime before = Now();
        (string, Func<int>)[] kinds =
        [
            ("f", () => Sys.Close(Sys.Open(At("f"), Sys.Creat | Sys.RdWr))), ("d", () => Sys.Mkdir(At("d"))), ("l", () => Sys.Symlink("x", At("l"))),
            ("p", () => Sys.Mknod(At("p"), FileStatus.Fifo | 0x1A4)),
        ];
        foreach ((string name, Func<int> make) in kinds)
        {
            Expect(name, () => make(), (".", Changed.Contents));
            FileStatus s = Stat(name);
            Assert.Equal((s.Mtime, s.Mtime), (s.Atime, s.Ctime));
            Assert.True(s.Mtime > before && s.Mtime <= Now(), $"{name}: {before} {s.Mtime} {Now()}");
        }
    }

    private static FileTime Now()
    {
        long ticks = DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks;
        return new FileTime(ticks / TimeSpan.TicksPerSecond, (uint)(ticks % TimeSpan.TicksPerSecond * 100));
    }

    [PosixCase]
    public void Writing_changes_mtime_and_ctime()
    {
        Make("f", Pattern(10_000));
        int fd = Open("f", Sys.WrOnly);
        Expect("write", () => Sys.Write(fd, "x"u8), ("f", Changed.Contents));
        Expect("pwrite", () => Sys.Pwrite(fd, "x"u8, 5000), ("f", Changed.Contents));
        Expect("write of nothing", () => Sys.Write(fd, default), ("f", Changed.None));
        Expect("ftruncate", () => Sys.Ftruncate(fd, 5000), ("f", Changed.Contents));
        Expect("ftruncate to the same size", () => Sys.Ftruncate(fd, 5000), ("f", Changed.Contents));
        Expect("truncate", () => Sys.Truncate(At("f"), 9000), ("f", Changed.Contents));
        Expect("fallocate", () => Sys.Fallocate(fd, 0, 0, 20_000), ("f", Changed.Contents));
        Expect("punching", () => Sys.Fallocate(fd, Sys.PunchHole | Sys.KeepSize, 0, 5000), ("f", Changed.Contents));
        Expect("fsync", () => Sys.Fsync(fd), ("f", Changed.None));
        Expect("close", () => Close(fd), ("f", Changed.None));
        Expect("opening to truncate", () => Close(Open("f", Sys.WrOnly | Sys.Trunc)), ("f", Changed.Contents));
        Expect("opening to write", () => Close(Open("f", Sys.RdWr)), ("f", Changed.None));
    }

    [PosixCase]
    public void A_write_that_failed_changes_nothing()
    {
        Make("f");
        int fd = Open("f", Sys.WrOnly);
        Expect("write", () => Fails(E.INVAL, Sys.Pwrite(fd, "x"u8, -1)), ("f", Changed.None));
        Expect("mkdir", () => Fails(E.EXIST, Sys.Mkdir(At("f"))), (".", Changed.None), ("f", Changed.None));
        Expect("unlink", () => Fails(E.NOENT, Sys.Unlink(At("g"))), (".", Changed.None));
        Expect("rename", () => Fails(E.EXIST, Sys.Rename(At("f"), At("f"), Sys.NoReplace)), (".", Changed.None), ("f", Changed.None));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Attributes_change_ctime_alone()
    {
        Make("f");
        Must(Sys.Mkdir(At("d")));
        foreach (string name in (string[])["f", "d"])
        {
            Expect("chmod", () => Sys.Chmod(At(name), 0x1C0), (name, Changed.Ctime));
            Expect("chown", () => Sys.Chown(At(name), 1, 1), (name, Changed.Ctime));
            Expect("setxattr", () => Sys.SetXattr(At(name), "user.a", "v"u8), (name, Changed.Ctime));
            Expect("setxattr again", () => Sys.SetXattr(At(name), "user.a", "w"u8), (name, Changed.Ctime));
            Expect("getxattr", () => Sys.GetXattr(At(name), "user.a", new byte[10]), (name, Changed.None));
            Expect("removexattr", () => Sys.RemoveXattr(At(name), "user.a"), (name, Changed.Ctime));
            Expect("stat", () => Stat(name), (name, Changed.None));
        }
    }

    [PosixCase]
    public void Names_change_the_directory_and_the_ctime_of_the_file()
    {
        Make("f");
        Must(Sys.Mkdir(At("d")));
        Expect("link", () => Sys.Link(At("f"), At("d/g")), ("f", Changed.Ctime), ("d", Changed.Contents), (".", Changed.None));
        Expect("unlink", () => Sys.Unlink(At("d/g")), ("f", Changed.Ctime), ("d", Changed.Contents), (".", Changed.None));
        Expect("mkdir", () => Sys.Mkdir(At("d/e")), ("d", Changed.Contents), (".", Changed.None));
        Expect("rmdir", () => Sys.Rmdir(At("d/e")), ("d", Changed.Contents), (".", Changed.None));
        FileTime ctime = Stat("f").Ctime;
        Expect("rename", () => Sys.Rename(At("f"), At("d/f")), ("d", Changed.Contents), (".", Changed.Contents));
        Assert.True(Stat("d/f").Ctime > ctime, "rename leaves the ctime of the file");
        Make("d/g");
        Expect("exchange", () => Sys.Rename(At("d/f"), At("d/g"), Sys.Exchange), ("d", Changed.Contents), (".", Changed.None));
    }

    [PosixCase]
    public void What_loses_its_last_name_gets_a_new_ctime()
    {
        Make("f");
        Make("g");
        int f = Open("f", Sys.RdOnly), g = Open("g", Sys.RdOnly);
        FileTime before = Fstat(g).Ctime;
        Thread.Sleep(TickMs);
        Must(Sys.Rename(At("f"), At("g")));
        Assert.True(Fstat(g).Ctime > before, "replaced");
        before = Fstat(f).Ctime;
        Thread.Sleep(TickMs);
        Must(Sys.Unlink(At("g")));
        Assert.True(Fstat(f).Ctime > before, "unlinked");
        Assert.Equal((0u, 0u), (Fstat(f).Links, Fstat(g).Links));
    }

    [PosixCase]
    public void Reading_changes_atime_where_it_is_due()
    {
        Make("f", "content");
        Must(Sys.Mkdir(At("d")));
        Make("d/x");
        Must(Sys.Symlink("f", At("l")));
        foreach (string name in (string[])["f", "d", "l"])
        {
            Must(Sys.Utimens(At(name), (1_000_000, 0), (2_000_000, 0)));
        }

        Expect("read", () => { _ = ReadAt(Open("f", Sys.RdOnly), 0, 10); }, ("f", Changed.Atime));
        Expect("readdir", () => { _ = Names("d"); }, ("d", Changed.Atime));
        Expect("readlink", () => Sys.ReadLink(At("l"), out _), ("l", Changed.Atime), ("f", Changed.None));
        Assert.True(Stat("f").Atime.Seconds > 1_600_000_000);
    }

    [PosixCase]
    public void O_NOATIME_and_reading_nothing_leave_atime()
    {
        Make("f", "content");
        Must(Sys.Utimens(At("f"), (1_000_000, 0), (2_000_000, 0)));
        int fd = Open("f", Sys.RdOnly | Sys.NoAtime);
        Expect("read with O_NOATIME", () => { _ = ReadAt(fd, 0, 10); }, ("f", Changed.None));
        Close(fd);
        int other = Open("f", Sys.RdOnly);
        Expect("read of no bytes", () => Sys.Read(other, default), ("f", Changed.None));
    }

    [PosixCase]
    public void Utimens_sets_each_time_or_leaves_it()
    {
        Make("f");
        Expect("both", () => Sys.Utimens(At("f"), (100, 1), (200, 2)), ("f", Changed.Atime | Changed.Contents));
        Assert.Equal((new FileTime(100, 1), new FileTime(200, 2)), (Stat("f").Atime, Stat("f").Mtime));
        Expect("atime", () => Sys.Utimens(At("f"), (300, 3), (0, Sys.TimeOmit)), ("f", Changed.Atime | Changed.Ctime));
        Expect("mtime", () => Sys.Utimens(At("f"), (0, Sys.TimeOmit), (400, 4)), ("f", Changed.Contents));
        Assert.Equal((new FileTime(300, 3), new FileTime(400, 4)), (Stat("f").Atime, Stat("f").Mtime));
        Expect("none", () => Sys.Utimens(At("f"), (0, Sys.TimeOmit), (0, Sys.TimeOmit)), ("f", Changed.None));
        Expect("now", () => Sys.Touch(At("f")), ("f", Changed.Atime | Changed.Contents));
        Assert.True(Stat("f").Mtime.Seconds > 1_600_000_000);
        Assert.Equal(Stat("f").Mtime, Stat("f").Atime);
        Fails(E.INVAL, Sys.Utimens(At("f"), (1, 1_000_000_000), (1, 0)));
        Fails(E.INVAL, Sys.Utimens(At("f"), (1, -1), (1, 0)));
    }

    [PosixCase]
    public void Times_before_1970_and_after_2038_keep_their_nanoseconds()
    {
        long[] seconds = [-2_147_483_647, -1, 0, 1, int.MaxValue, int.MaxValue + 1L, uint.MaxValue, uint.MaxValue + 1L, 15_000_000_000];
        foreach (long s in seconds)
        {
            string name = $"f{s}";
            Make(name);
            Must(Sys.Utimens(At(name), (s, 999_999_999), (s, 1)));
        }

        CheckTimes(seconds);
        if (CanEvict)
        {
            Evict();
            CheckTimes(seconds);
        }
    }

    [PosixCase(Needs = PosixNeeds.Root | PosixNeeds.MountPoint, Except = FileSystemKind.Ext4 | FileSystemKind.Other, Why = "ext4 keeps times up to the year 2446 and makes others the nearest it has")]
    public void Times_of_the_far_past_and_future_are_kept()
    {
        long[] seconds = [-(1L << 40), 1L << 40, -(1L << 62), (1L << 62) - 1];
        foreach (long s in seconds)
        {
            string name = $"f{s}";
            Make(name);
            Must(Sys.Utimens(At(name), (s, 999_999_999), (s, 1)));
        }

        CheckTimes(seconds);
        Evict();
        CheckTimes(seconds);
    }

    [PosixCase(Needs = PosixNeeds.Remount)]
    public void All_times_are_the_same_after_a_remount()
    {
        Make("f", "content");
        Must(Sys.Utimens(At("f"), (-1_000_000, 123_456_789), (5_000_000_000, 987_654_321)));
        Must(Sys.Mkdir(At("d")));
        FileStatus f = Stat("f"), d = Stat("d");
        Remount();
        Assert.Equal((f.Atime, f.Mtime, f.Ctime, f.Btime), (Stat("f").Atime, Stat("f").Mtime, Stat("f").Ctime, Stat("f").Btime));
        Assert.Equal((d.Mtime, d.Ctime, d.Btime), (Stat("d").Mtime, Stat("d").Ctime, Stat("d").Btime));
    }

    private void CheckTimes(long[] seconds)
    {
        foreach (long s in seconds)
        {
            FileStatus status = Stat($"f{s}");
            Assert.Equal((new FileTime(s, 999_999_999), new FileTime(s, 1)), (status.Atime, status.Mtime));
        }
    }

    [PosixCase(Except = FileSystemKind.Other, Why = "not every file system keeps it")]
    public void The_time_of_birth_is_told_and_never_changes()
    {
        FileTime before = Now();
        Thread.Sleep(TickMs);
        Make("f");
        Must(Sys.Mkdir(At("d")));
        Must(Sys.Symlink("f", At("l")));
        Thread.Sleep(TickMs);
        FileTime after = Now();
        foreach (string name in (string[])["f", "d", "l"])
        {
            FileTime? birth = Stat(name).Btime;
            Assert.NotNull(birth);
            Assert.True(birth > before && birth < after, $"{name}: {before} {birth} {after}");
        }

        FileTime? born = Stat("f").Btime;
        Must(Sys.Utimens(At("f"), (1, 0), (1, 0)));
        Must(Sys.Chmod(At("f"), 0x180));
        File.AppendAllText(At("f"), "more");
        Must(Sys.Rename(At("f"), At("g")));
        Assert.Equal(born, Stat("g").Btime);
        if (CanEvict)
        {
            Evict();
        }

        Assert.Equal(born, Stat("g").Btime);
    }

    [PosixCase]
    public void A_write_through_a_mapping_changes_mtime_at_the_latest_with_msync()
    {
        Make("f", Pattern(8192));
        int fd = Open("f", Sys.RdWr);
        using var map = new Mapping(fd, 8192, isShared: true);
        Assert.Equal(4, map.Read(0, 4).Length);
        Expect("mapping", () =>
        {
            map.Write(100, "changed"u8);
            map.Sync();
        }, ("f", Changed.Contents));
    }
}
