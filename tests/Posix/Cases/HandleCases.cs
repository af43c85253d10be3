using System.Runtime.InteropServices;
using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>
/// Handles of name_to_handle_at(2), as an NFS server makes and opens them, with the kernel's memory of the file evicted between
/// naming and opening: a case that skips the eviction proves nothing.
/// </summary>
public sealed unsafe class HandleCases : PosixCases
{
    private const int HandleBytes = 128;

    private byte[] Handle(string name)
    {
        byte[] handle = new byte[HandleBytes + 8];
        BitConverter.TryWriteBytes(handle, HandleBytes);
        int mountId;
        fixed (byte* p = handle)
        {
            Must(Sys.Result(Libc.NameToHandleAt(Sys.Cwd, At(name), p, &mountId, 0)));
        }

        return handle;
    }

    private int OpenHandle(byte[] handle, int flags = Sys.RdOnly)
    {
        int mount = Must(Sys.Open(Root, Sys.RdOnly | Sys.Directory));
        fixed (byte* p = handle)
        {
            int result = Libc.OpenByHandleAt(mount, p, flags | Sys.Cloexec);
            int error = Marshal.GetLastPInvokeError();
            Must(Sys.Close(mount));
            return result >= 0 ? result : -error;
        }
    }

    [PosixCase(Needs = PosixNeeds.Root | PosixNeeds.MountPoint)]
    public void Files_and_directories_open_after_eviction()
    {
        Must(Sys.Mkdir(At("a")));
        Must(Sys.Mkdir(At("a/b")));
        Make("a/b/f", "content");
        byte[] file = Handle("a/b/f"), dir = Handle("a/b");
        Evict();
        int fd = Must(OpenHandle(dir));
        Assert.Equal(At("a/b"), File.ResolveLinkTarget($"/proc/self/fd/{fd}", false)!.FullName);
        Must(Sys.Close(Must(Sys.OpenAt(fd, "made", Sys.Creat | Sys.RdWr))));
        Must(Sys.Close(fd));
        Evict();
        fd = Must(OpenHandle(file, Sys.RdWr));
        Assert.Equal(Bytes("content"), ReadAt(fd, 0, 20));
        WriteAt(fd, 0, "CONTENT"u8);
        Must(Sys.Close(fd));
        Assert.Equal("CONTENT", File.ReadAllText(At("a/b/f")));
        Assert.Equal(["f", "made"], Names("a/b"));
    }

    [PosixCase(Needs = PosixNeeds.Root | PosixNeeds.MountPoint)]
    public void They_are_good_wherever_the_file_goes()
    {
        Must(Sys.Mkdir(At("a")));
        Make("a/f", "content");
        byte[] handle = Handle("a/f");
        Must(Sys.Rename(At("a/f"), At("g")));
        Must(Sys.Rmdir(At("a")));
        Evict();
        int fd = Must(OpenHandle(handle));
        Assert.Equal(Stat("g").Inode, Fstat(fd).Inode);
        Must(Sys.Close(fd));
        Assert.Equal(handle, Handle("g"));
    }

    [PosixCase(Needs = PosixNeeds.Root | PosixNeeds.MountPoint)]
    public void What_was_removed_is_stale()
    {
        Make("f");
        Must(Sys.Mkdir(At("d")));
        byte[] file = Handle("f"), dir = Handle("d");
        Must(Sys.Unlink(At("f")));
        Must(Sys.Rmdir(At("d")));
        Fails(E.STALE, OpenHandle(file));
        Evict();
        Fails(E.STALE, OpenHandle(file));
        Fails(E.STALE, OpenHandle(dir));
    }

    [PosixCase(Needs = PosixNeeds.Root | PosixNeeds.MountPoint)]
    public void A_number_used_again_does_not_bring_the_old_file_back()
    {
        List<(byte[] Handle, ulong Inode)> old = [];
        for (int round = 0; round < 3; round++)
        {
            for (int i = 0; i < 20; i++)
            {
                Make($"f{i}", "old");
                old.Add((Handle($"f{i}"), Stat($"f{i}").Inode));
                Must(Sys.Unlink(At($"f{i}")));
            }
        }

        int dir = Open(".", Sys.RdOnly);
        Must(Sys.Fsync(dir));
        Close(dir);
        for (int i = 0; i < 200; i++)
        {
            Make($"n{i}", "new");
        }

        Evict();
        Assert.All(old, o => Fails(E.STALE, OpenHandle(o.Handle)));
        Assert.All(old, o => Assert.DoesNotContain(o.Handle, Enumerable.Range(0, 20).Select(i => Handle($"n{i}"))));
    }

    [PosixCase(Needs = PosixNeeds.Root | PosixNeeds.Remount)]
    public void They_are_good_after_a_remount_and_stale_ones_stale()
    {
        Must(Sys.Mkdir(At("d")));
        Make("d/f", "content");
        Make("gone");
        byte[] file = Handle("d/f"), dir = Handle("d"), gone = Handle("gone");
        Must(Sys.Unlink(At("gone")));
        Remount();
        int fd = Must(OpenHandle(dir));
        Assert.Equal(At("d"), File.ResolveLinkTarget($"/proc/self/fd/{fd}", false)!.FullName);
        Must(Sys.Close(fd));
        fd = Must(OpenHandle(file));
        Assert.Equal(Bytes("content"), ReadAt(fd, 0, 20));
        Must(Sys.Close(fd));
        Fails(E.STALE, OpenHandle(gone));
        Assert.Equal(file, Handle("d/f"));
    }
}
