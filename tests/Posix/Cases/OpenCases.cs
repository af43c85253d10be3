using System.ComponentModel;
using System.Diagnostics;
using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>open(2): its flags, the kinds of files, and what a descriptor may do.</summary>
public sealed class OpenCases : PosixCases
{
    [PosixCase]
    public void The_mode_of_a_new_file_obeys_the_umask()
    {
        Person.OnThread(Work, static () => Sys.Close(Must(Sys.Open("a", Sys.Creat | Sys.RdWr, 0x1FF))), 0x17);
        Assert.Equal("750", Stat("a").Octal);
        Person.OnThread(Work, static () => Must(Sys.Mknod("b", FileStatus.Fifo | 0x1B6)), 0x3F);
        Assert.Equal("600", Stat("b").Octal);
    }

    [PosixCase]
    public void A_file_may_be_created_with_a_mode_that_forbids_its_descriptor()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr, 0);
        WriteAt(fd, 0, "x"u8);
        Assert.Equal(Bytes("x"), ReadAt(fd, 0, 2));
        Assert.Equal("0", Stat("f").Octal);
    }

    [PosixCase]
    public void O_CREAT_of_what_exists_changes_nothing()
    {
        Make("f", "content");
        Must(Sys.Chmod(At("f"), 0x180));
        FileStatus before = Stat("f");
        Thread.Sleep(15);
        Close(Open("f", Sys.Creat | Sys.RdOnly, 0x1FF));
        FileStatus after = Stat("f");
        Assert.Equal((before.Mode, before.Size, before.Mtime, before.Ctime), (after.Mode, after.Size, after.Mtime, after.Ctime));
    }

    [PosixCase]
    public void O_EXCL_refuses_links_too()
    {
        Make("f");
        Must(Sys.Symlink("f", At("l")));
        Fails(E.EXIST, Sys.Open(At("l"), Sys.Creat | Sys.Excl | Sys.RdWr));
        Fails(E.EXIST, Sys.Open(At("f"), Sys.Creat | Sys.Excl | Sys.RdWr));
    }

    [PosixCase]
    public void O_DIRECTORY_and_O_NOFOLLOW_refuse_what_they_must()
    {
        Make("f");
        Must(Sys.Mkdir(At("d")));
        Must(Sys.Symlink("d", At("l")));
        Fails(E.NOTDIR, Sys.Open(At("f"), Sys.RdOnly | Sys.Directory));
        Fails(E.LOOP, Sys.Open(At("l"), Sys.RdOnly | Sys.NoFollow));
        Fails(E.NOTDIR, Sys.Open(At("l"), Sys.RdOnly | Sys.NoFollow | Sys.Directory));
        Close(Open("l", Sys.RdOnly | Sys.Directory));
        int path = Open("l", Sys.Path | Sys.NoFollow);
        Assert.Equal(FileStatus.Link, Fstat(path).Type);
        Fails(E.BADF, Sys.Read(path, new byte[1]));
    }

    [PosixCase]
    public void A_descriptor_does_only_what_it_was_opened_for()
    {
        Make("f", "content");
        int read = Open("f", Sys.RdOnly), write = Open("f", Sys.WrOnly);
        Fails(E.BADF, Sys.Write(read, "x"u8));
        Fails(E.BADF, Sys.Read(write, new byte[1]));
        Fails(E.INVAL, Sys.Ftruncate(read, 0));
        Fails(E.BADF, Sys.Fallocate(read, 0, 0, 10));
        Fails(E.ACCES, Sys.Mmap(4096, 3, 1, read));
        Fails(E.ACCES, Sys.Mmap(4096, 1, 1, write));
        Fails(E.BADF, Sys.Pwrite(read, "x"u8, 0));
        Fails(E.BADF, Sys.CopyFileRange(write, 0, read, 0, 1));
        Assert.Equal("content", File.ReadAllText(At("f")));
    }

    [PosixCase]
    public void Offsets_that_can_not_be_are_EINVAL()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        Fails(E.INVAL, Sys.Pread(fd, new byte[1], -1));
        Fails(E.INVAL, Sys.Pwrite(fd, "x"u8, -1));
        Fails(E.INVAL, Sys.Lseek(fd, -1, 0));
        Fails(E.INVAL, Sys.Lseek(fd, 0, 9));
        Fails(E.INVAL, Sys.Ftruncate(fd, -1));
        Fails(E.INVAL, Sys.Truncate(At("f"), -1));
        Fails(E.INVAL, Sys.Fallocate(fd, 0, -1, 10));
        Fails(E.INVAL, Sys.Fallocate(fd, 0, 0, 0));
        Fails(E.INVAL, Sys.Fallocate(fd, 0, 0, -1));
        Assert.Equal(0ul, Fstat(fd).Size);
    }

    [PosixCase]
    public void O_APPEND_writes_at_the_end_wherever_the_offset_is()
    {
        Make("f", "12345");
        int fd = Open("f", Sys.RdWr | Sys.Append);
        Must(Sys.Lseek(fd, 0, 0));
        Must(Sys.Write(fd, "6"u8));
        Assert.Equal(6, Sys.Lseek(fd, 0, 1));
        int other = Open("f", Sys.RdWr);
        WriteAt(other, 6, "789"u8);
        Must(Sys.Write(fd, "0"u8));
        Assert.Equal("1234567890", File.ReadAllText(At("f")));
        Must(Sys.Pwrite(fd, "!"u8, 0));
        Assert.Equal("1234567890!", File.ReadAllText(At("f")));
    }

    [PosixCase]
    public void O_TRUNC_empties_files_and_leaves_fifos_alone()
    {
        Make("f", "content");
        Close(Open("f", Sys.RdWr | Sys.Trunc));
        Assert.Equal(0ul, Stat("f").Size);
        Must(Sys.Mknod(At("p"), FileStatus.Fifo | 0x1A4));
        Close(Open("p", Sys.RdWr | Sys.Trunc | Sys.NonBlock));
        Assert.Equal(FileStatus.Fifo, Stat("p").Type);
    }

    [PosixCase]
    public void Fifos_and_sockets_open_as_they_are()
    {
        Must(Sys.Mknod(At("p"), FileStatus.Fifo | 0x1A4));
        Must(Sys.Mknod(At("s"), FileStatus.Socket | 0x1A4));
        Fails(E.NXIO, Sys.Open(At("p"), Sys.WrOnly | Sys.NonBlock));
        Fails(E.NXIO, Sys.Open(At("s"), Sys.RdWr));
        int reader = Open("p", Sys.RdOnly | Sys.NonBlock), writer = Open("p", Sys.WrOnly | Sys.NonBlock);
        Must(Sys.Write(writer, "through"u8));
        byte[] got = new byte[20];
        Assert.Equal(7, Must(Sys.Read(reader, got)));
        Fails(E.SPIPE, Sys.Lseek(reader, 0, 0));
        Assert.Equal(0ul, Stat("p").Size);
        Fails(E.INVAL, Sys.Truncate(At("p"), 0));
    }

    [PosixCase]
    public void A_socket_is_bound_and_found()
    {
        string path = At("s");
        if (path.Length > 100)
        {
            return;
        }

        using var server = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
        server.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(path));
        server.Listen();
        Assert.Equal(FileStatus.Socket, Stat("s").Type);
        using var client = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
        client.Connect(new System.Net.Sockets.UnixDomainSocketEndPoint(path));
        Assert.True(client.Connected);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Devices_keep_their_numbers()
    {
        foreach (ulong device in (ulong[])[0x103, 0x811, 0x493103e0, 0])
        {
            foreach (uint type in (uint[])[FileStatus.Character, FileStatus.Block])
            {
                string name = $"{type:x}-{device:x}";
                Must(Sys.Mknod(At(name), type | 0x180, device));
                Assert.Equal(type, Stat(name).Type);
                Mono.Unix.Native.Syscall.lstat(At(name), out Mono.Unix.Native.Stat stat);
                Assert.Equal(device, stat.st_rdev);
            }
        }
    }

    [PosixCase]
    public void A_running_program_is_not_written_and_a_written_one_not_run()
    {
        File.Copy("/bin/sleep", At("prog"));
        Must(Sys.Chmod(At("prog"), 0x1ED));
        int fd = Open("prog", Sys.WrOnly);
        Win32Exception e = Assert.Throws<Win32Exception>(() => Process.Start(At("prog"), "5"));
        Assert.Equal(E.TXTBSY, e.NativeErrorCode);
        Close(fd);
        using Process process = Process.Start(At("prog"), "30");
        try
        {
            // The child is the program only from its exec on.
            SpinWait.SpinUntil(() => File.ReadAllText($"/proc/{process.Id}/comm").Trim() == "prog", 10_000);
            Fails(E.TXTBSY, Sys.Open(At("prog"), Sys.WrOnly));
            Fails(E.TXTBSY, Sys.Truncate(At("prog"), 0));
            Close(Open("prog", Sys.RdOnly));
            Must(Sys.Unlink(At("prog")));
            Assert.False(process.HasExited);
        }
        finally
        {
            process.Kill();
            process.WaitForExit();
        }
    }

    [PosixCase]
    public void An_ioctl_that_files_do_not_have_is_ENOTTY()
    {
        const nuint terminalSize = 0x5413;
        Fails(E.NOTTY, Sys.Ioctl(Open("f", Sys.Creat | Sys.RdWr), terminalSize));
    }

    [PosixCase]
    public void An_unlinked_file_keeps_everything_until_it_is_closed()
    {
        byte[] data = Pattern(700_000);
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        WriteAt(fd, 0, data);
        Must(Sys.SetXattr(At("f"), "user.a", "v"u8));
        Must(Sys.Unlink(At("f")));
        if (CanEvict)
        {
            Evict();
        }

        Must(Sys.Fsync(fd));
        Assert.Equal(data, ReadAt(fd, 0, 800_000));
        Must(Sys.Ftruncate(fd, 1000));
        WriteAt(fd, 2000, "x"u8);
        FileStatus status = Fstat(fd);
        Assert.Equal((0u, 2001ul), (status.Links, status.Size));
        Must(Sys.Mkdir(At("f")));
        Assert.Equal(2001ul, Fstat(fd).Size);
    }
}
