using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>The flags of chattr(1), through FS_IOC_GETFLAGS and FS_IOC_SETFLAGS: immutable, append-only, no-dump.</summary>
public sealed class FlagCases : PosixCases
{
    private const int Immutable = 0x10, AppendOnly = 0x20, NoDump = 0x40, Known = Immutable | AppendOnly | NoDump;
    private const string NotEverywhere = "not every file system has these flags";

    private readonly List<string> _flagged = [];

    private void Flag(string name, int flags)
    {
        Must(Set(At(name), flags));
        _flagged.Add(name);
    }

    /// <summary>Sets the known flags, and leaves others.</summary>
    private static int Set(string path, int flags)
    {
        int fd = Must(Sys.Open(path, Sys.RdOnly));
        Must(Sys.GetFlags(fd, out int before));
        int result = Sys.SetFlags(fd, (before & ~Known) | flags);
        Must(Sys.Close(fd));
        return result;
    }

    private int FlagsOf(string name)
    {
        int fd = Must(Sys.Open(At(name), Sys.RdOnly));
        Must(Sys.GetFlags(fd, out int flags));
        Must(Sys.Close(fd));
        return flags & Known;
    }

    /// <summary>Runs a case's body, and takes the flags away whatever happened: nothing else can remove the files.</summary>
    private void Flagged(Action body)
    {
        try
        {
            body();
        }
        finally
        {
            foreach (string name in _flagged)
            {
                if (Sys.Access(At(name), 0) == 0)
                {
                    Must(Set(At(name), 0));
                }
            }
        }
    }

    [PosixCase(Needs = PosixNeeds.Root, Except = FileSystemKind.Other, Why = NotEverywhere)]
    public void An_immutable_file_is_read_and_nothing_else() => Flagged(() =>
    {
        Make("f", "content");
        Must(Sys.SetXattr(At("f"), "user.a", "v"u8));
        Flag("f", Immutable);
        FileStatus before = Stat("f");
        Fails(E.PERM, Sys.Open(At("f"), Sys.WrOnly));
        Fails(E.PERM, Sys.Open(At("f"), Sys.RdWr));
        Fails(E.PERM, Sys.Open(At("f"), Sys.WrOnly | Sys.Append));
        Fails(E.PERM, Sys.Open(At("f"), Sys.WrOnly | Sys.Trunc));
        Fails(E.PERM, Sys.Truncate(At("f"), 0));
        Fails(E.PERM, Sys.Unlink(At("f")));
        Fails(E.PERM, Sys.Rename(At("f"), At("g")));
        Fails(E.PERM, Sys.Link(At("f"), At("g")));
        Fails(E.PERM, Sys.Chmod(At("f"), 0x1FF));
        Fails(E.PERM, Sys.Chown(At("f"), 1, 1));
        Fails(E.PERM, Sys.Utimens(At("f"), (1, 0), (1, 0)));
        Fails(E.PERM, Sys.Touch(At("f")));
        Fails(E.PERM, Sys.SetXattr(At("f"), "user.a", "w"u8));
        Fails(E.PERM, Sys.RemoveXattr(At("f"), "user.a"));
        Make("g", "other");
        Fails(E.PERM, Sys.Rename(At("g"), At("f")));
        Fails(E.PERM, Sys.Rename(At("g"), At("f"), Sys.Exchange));
        Assert.Equal("content", File.ReadAllText(At("f")));
        FileStatus after = Stat("f");
        Assert.Equal((before.Mode, before.Mtime, before.Ctime, before.Links), (after.Mode, after.Mtime, after.Ctime, after.Links));
        Assert.Equal(["f", "g"], Names());
        Flag("f", 0);
        File.AppendAllText(At("f"), "more");
        Must(Sys.Unlink(At("f")));
    });

    [PosixCase(Needs = PosixNeeds.Root, Except = FileSystemKind.Other, Why = NotEverywhere)]
    public void An_append_only_file_only_grows() => Flagged(() =>
    {
        Make("f", "content");
        Flag("f", AppendOnly);
        Fails(E.PERM, Sys.Open(At("f"), Sys.WrOnly));
        Fails(E.PERM, Sys.Open(At("f"), Sys.RdWr));
        Fails(E.PERM, Sys.Open(At("f"), Sys.WrOnly | Sys.Append | Sys.Trunc));
        Fails(E.PERM, Sys.Truncate(At("f"), 100));
        int fd = Open("f", Sys.RdWr | Sys.Append);
        Must(Sys.Write(fd, "-more"u8));
        Must(Sys.Pwrite(fd, "!"u8, 0));
        Fails(E.PERM, Sys.Ftruncate(fd, 0));
        Fails(E.PERM, Sys.Fallocate(fd, Sys.PunchHole | Sys.KeepSize, 0, 3));
        Fails(E.PERM, Sys.Unlink(At("f")));
        Fails(E.PERM, Sys.Rename(At("f"), At("g")));
        Fails(E.PERM, Sys.Link(At("f"), At("g")));
        Fails(E.PERM, Sys.Chmod(At("f"), 0x1FF));
        Fails(E.PERM, Sys.Chown(At("f"), 1, 1));
        Fails(E.PERM, Sys.SetXattr(At("f"), "user.a", "v"u8));
        Close(fd);
        Assert.Equal("content-more!", File.ReadAllText(At("f")));
    });

    [PosixCase(Needs = PosixNeeds.Root, Except = FileSystemKind.Other, Why = NotEverywhere)]
    public void The_names_in_an_immutable_directory_stay() => Flagged(() =>
    {
        Must(Sys.Mkdir(At("d")));
        Make("d/f", "content");
        Must(Sys.Mkdir(At("d/e")));
        Flag("d", Immutable);
        Fails(E.PERM, Sys.Open(At("d/n"), Sys.Creat | Sys.RdWr));
        Fails(E.PERM, Sys.Mkdir(At("d/n")));
        Fails(E.PERM, Sys.Symlink("x", At("d/n")));
        Fails(E.PERM, Sys.Mknod(At("d/n"), FileStatus.Fifo | 0x1A4));
        Fails(E.PERM, Sys.Open(At("d"), Sys.TmpFile | Sys.RdWr));
        Fails(E.PERM, Sys.Unlink(At("d/f")));
        Fails(E.PERM, Sys.Rmdir(At("d/e")));
        Fails(E.PERM, Sys.Rename(At("d/f"), At("g")));
        Fails(E.PERM, Sys.Rename(At("d"), At("x")));
        Fails(E.PERM, Sys.Rmdir(At("d")));
        Make("g");
        Fails(E.PERM, Sys.Rename(At("g"), At("d/g")));
        Fails(E.PERM, Sys.Link(At("g"), At("d/g")));
        File.AppendAllText(At("d/f"), " changes");
        Assert.Equal("content changes", File.ReadAllText(At("d/f")));
        Assert.Equal(["e", "f"], Names("d"));
    });

    [PosixCase(Needs = PosixNeeds.Root, Except = FileSystemKind.Other, Why = NotEverywhere)]
    public void An_append_only_directory_only_gains_names() => Flagged(() =>
    {
        Must(Sys.Mkdir(At("d")));
        Make("d/f");
        Flag("d", AppendOnly);
        Make("d/g");
        Must(Sys.Mkdir(At("d/e")));
        Must(Sys.Link(At("d/f"), At("d/h")));
        Fails(E.PERM, Sys.Unlink(At("d/g")));
        Fails(E.PERM, Sys.Rmdir(At("d/e")));
        Fails(E.PERM, Sys.Rename(At("d/f"), At("d/i")));
        Fails(E.PERM, Sys.Rename(At("d/f"), At("i")));
        Assert.Equal(["e", "f", "g", "h"], Names("d"));
    });

    [PosixCase(Needs = PosixNeeds.Root, Except = FileSystemKind.Other, Why = NotEverywhere)]
    public void Flags_are_set_by_the_owner_and_the_strong_ones_by_root_alone() => Flagged(() =>
    {
        Make("f");
        Must(Sys.Chown(At("f"), 65534, 65534));
        Assert.Equal(0, FlagsOf("f"));
        Fails(E.PERM, As(Person.Nobody, static () => Set("f", Immutable)));
        Fails(E.PERM, As(Person.Nobody, static () => Set("f", AppendOnly)));
        Must(Sys.Chmod(At("f"), 0x1FF));
        Fails(E.PERM, As(Person.Other, static () => Set("f", NoDump)));
        Must(As(Person.Nobody, static () => Set("f", NoDump)));
        Assert.Equal(NoDump, FlagsOf("f"));
        Flag("f", Immutable);
        Assert.Equal(Immutable, FlagsOf("f"));
        Fails(E.PERM, As(Person.Nobody, static () => Set("f", 0)));
        Assert.Equal(Immutable, FlagsOf("f"));
    });

    [PosixCase(Needs = PosixNeeds.Root | PosixNeeds.MountPoint, Except = FileSystemKind.Other, Why = NotEverywhere)]
    public void A_change_of_flags_changes_ctime_and_a_flag_that_does_not_exist_is_refused() => Flagged(() =>
    {
        Make("f");
        FileStatus before = Stat("f");
        Thread.Sleep(12);
        Flag("f", NoDump);

        // On FUSE the kernel keeps the ctime of a file that it knows, and does not know that this ioctl changes it.
        Evict();
        Assert.True(Stat("f").Ctime > before.Ctime, "ctime stays");
        Assert.Equal(before.Mtime, Stat("f").Mtime);
        Fails(E.OPNOTSUPP, Sys.SetFlags(Open("f", Sys.RdOnly), unchecked((int)0x80000000)));
    });

    [PosixCase(Needs = PosixNeeds.Root | PosixNeeds.Remount, Except = FileSystemKind.Other, Why = NotEverywhere)]
    public void Flags_are_there_after_a_remount() => Flagged(() =>
    {
        Make("i", "content");
        Make("a");
        Must(Sys.Mkdir(At("d")));
        Flag("i", Immutable | NoDump);
        Flag("a", AppendOnly);
        Flag("d", Immutable);
        Remount();
        Assert.Equal((Immutable | NoDump, AppendOnly, Immutable), (FlagsOf("i"), FlagsOf("a"), FlagsOf("d")));
        Fails(E.PERM, Sys.Unlink(At("i")));
        Fails(E.PERM, Sys.Open(At("d/n"), Sys.Creat | Sys.RdWr));
    });
}
