using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>O_TMPFILE: a file without a name, and how it gets one.</summary>
public sealed class TmpFileCases : PosixCases
{
    [PosixCase]
    public void It_has_no_name_and_no_link()
    {
        FileStatus before = Stat(".");
        int fd = Open(".", Sys.TmpFile | Sys.RdWr, 0x1B0);
        FileStatus status = Fstat(fd);
        Assert.Equal((0u, FileStatus.Regular, 0ul), (status.Links, status.Type, status.Size));
        Assert.Empty(Names());
        Assert.Equal(before.Mtime, Stat(".").Mtime);
        Must(Sys.Rmdir(Work));
        ForgetWork();
        WriteAt(fd, 0, "still"u8);
        Assert.Equal(Bytes("still"), ReadAt(fd, 0, 10));
    }

    [PosixCase]
    public void It_holds_data_and_attributes_like_any_file()
    {
        byte[] data = Pattern(400_000);
        int fd = Open(".", Sys.TmpFile | Sys.RdWr, 0x180);
        WriteAt(fd, 0, data);
        Must(Sys.Fsync(fd));
        Assert.Equal(data, ReadAt(fd, 0, 500_000));
        Must(Sys.Ftruncate(fd, 100));
        string path = $"/proc/self/fd/{fd}";
        Must(Sys.Chmod(path, 0x1ED));
        Must(Mono.Unix.Native.Syscall.setxattr(path, "user.a", [1]));
        FileStatus status = Fstat(fd);
        Assert.Equal((100ul, "755", 0u), (status.Size, status.Octal, status.Links));
    }

    [PosixCase]
    public void Linked_it_is_a_file_like_any_other()
    {
        byte[] data = Pattern(300_000);
        int fd = Open(".", Sys.TmpFile | Sys.RdWr, 0x1A4);
        WriteAt(fd, 0, data);
        Must(Sys.LinkAt(Sys.Cwd, $"/proc/self/fd/{fd}", Sys.Cwd, At("named"), Sys.SymlinkFollow));
        Assert.Equal((1u, Fstat(fd).Inode), (Stat("named").Links, Stat("named").Inode));
        Assert.Equal(1u, Fstat(fd).Links);
        Must(Sys.Link(At("named"), At("again")));
        Close(fd);
        Assert.Equal(["again", "named"], Names());
        Assert.Equal(data, File.ReadAllBytes(At("named")));
        Assert.Equal(2u, Stat("again").Links);
        Must(Sys.Unlink(At("named")));
        Assert.Equal(data, File.ReadAllBytes(At("again")));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void The_descriptor_itself_can_be_linked_by_root()
    {
        int fd = Open(".", Sys.TmpFile | Sys.WrOnly, 0x1A4);
        Must(Sys.Write(fd, "content"u8));
        Must(Sys.LinkAt(fd, string.Empty, Sys.Cwd, At("named"), Sys.EmptyPath));
        Assert.Equal("content", File.ReadAllText(At("named")));
    }

    [PosixCase]
    public void O_EXCL_keeps_it_from_ever_being_linked()
    {
        int fd = Open(".", Sys.TmpFile | Sys.RdWr | Sys.Excl);
        Fails(E.NOENT, Sys.LinkAt(Sys.Cwd, $"/proc/self/fd/{fd}", Sys.Cwd, At("named"), Sys.SymlinkFollow));
        Assert.Empty(Names());
    }

    [PosixCase]
    public void Once_it_had_a_name_it_gets_none_when_that_is_gone()
    {
        int fd = Open(".", Sys.TmpFile | Sys.RdWr);
        string path = $"/proc/self/fd/{fd}";
        Must(Sys.LinkAt(Sys.Cwd, path, Sys.Cwd, At("a"), Sys.SymlinkFollow));
        Must(Sys.Unlink(At("a")));
        Assert.Equal(0u, Fstat(fd).Links);
        Fails(E.NOENT, Sys.LinkAt(Sys.Cwd, path, Sys.Cwd, At("b"), Sys.SymlinkFollow));
        Make("c");
        Fails(E.EXIST, Sys.LinkAt(Sys.Cwd, $"/proc/self/fd/{Open(".", Sys.TmpFile | Sys.RdWr)}", Sys.Cwd, At("c"), Sys.SymlinkFollow));
        Assert.Equal(["c"], Names());
    }

    [PosixCase]
    public void It_must_be_writable_and_in_a_directory()
    {
        Make("f");
        Fails(E.INVAL, Sys.Open(Work, Sys.TmpFile | Sys.RdOnly));
        Fails(E.NOTDIR, Sys.Open(At("f"), Sys.TmpFile | Sys.RdWr));
        Fails(E.NOENT, Sys.Open(At("none"), Sys.TmpFile | Sys.RdWr));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Mode_group_and_owner_are_those_of_a_created_file()
    {
        Must(Sys.Chown(Work, 0, 4321));
        Must(Sys.Chmod(Work, 0x5FF));
        FileStatus status = As(Person.Nobody, static () =>
        {
            int fd = Must(Sys.Open(".", Sys.TmpFile | Sys.RdWr, 0x1B6));
            FileStatus s = Fstat(fd);
            Must(Sys.Close(fd));
            return s;
        });
        Assert.Equal((65534u, 4321u, "644"), (status.Uid, status.Gid, status.Octal));
        Must(Sys.Chmod(Work, 0x1ED));
        Fails(E.ACCES, As(Person.Nobody, static () => Sys.Open(".", Sys.TmpFile | Sys.RdWr)));
    }

    [PosixCase(Needs = PosixNeeds.Remount)]
    public void Linked_it_is_there_after_a_remount()
    {
        byte[] data = Pattern(300_000);
        int fd = Open(".", Sys.TmpFile | Sys.RdWr);
        WriteAt(fd, 0, data);
        Must(Sys.LinkAt(Sys.Cwd, $"/proc/self/fd/{fd}", Sys.Cwd, At("named"), Sys.SymlinkFollow));
        Close(fd);
        Remount();
        Assert.Equal(data, File.ReadAllBytes(At("named")));
        Assert.Equal(1u, Stat("named").Links);
        Must(Sys.Unlink(At("named")));
    }
}
