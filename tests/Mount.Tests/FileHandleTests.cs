using System.Runtime.InteropServices;
using Mono.Unix.Native;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>
/// File handles as an NFS server uses them, with the kernel's memory of the file evicted between naming and opening: a test
/// that skips the eviction proves nothing.
/// </summary>
[Collection("Mount")]
public sealed unsafe class FileHandleTests
{
    private const int HandleBytes = 128;

    private static byte[] HandleOf(string path)
    {
        byte[] handle = new byte[HandleBytes + 8];
        BitConverter.TryWriteBytes(handle, HandleBytes);
        int mountId;
        fixed (byte* p = handle)
        {
            if (PosixLibc.NameToHandleAt(PosixLibc.AtFdcwd, path, p, &mountId, 0) != 0)
            {
                throw new InvalidOperationException($"name_to_handle_at: errno {Marshal.GetLastPInvokeError()}");
            }
        }

        return handle;
    }

    private static int OpenHandle(string mountPath, byte[] handle, OpenFlags flags = OpenFlags.O_RDONLY)
    {
        int mountFd = Syscall.open(mountPath, OpenFlags.O_RDONLY | OpenFlags.O_DIRECTORY);
        fixed (byte* p = handle)
        {
            int fd = PosixLibc.OpenByHandleAt(mountFd, p, NativeConvert.FromOpenFlags(flags));
            int error = Marshal.GetLastPInvokeError();
            Syscall.close(mountFd);
            return fd >= 0 ? fd : -error;
        }
    }

    /// <summary>Remounting drops the unused names and inodes of the mount.</summary>
    private static void Evict(string path)
    {
        const nuint remount = 32;
        if (PosixLibc.Mount("none", path, null, remount, null) != 0)
        {
            throw new InvalidOperationException($"remount: errno {Marshal.GetLastPInvokeError()}");
        }
    }

    private static long Forgets(MemFsMount mount) => mount.Server.Session.Statistics()
        .Where(s => s.Opcode is ZfsLite.Fs.FuseOpcode.Forget or ZfsLite.Fs.FuseOpcode.BatchForget).Sum(s => s.Count);

    [FuseFact]
    public void Handles_of_files_and_directories_open_after_eviction()
    {
        using var mount = new MemFsMount();
        Directory.CreateDirectory(mount.Path + "/a/b/c");
        File.WriteAllText(mount.Path + "/a/b/c/file", "content");
        byte[] file = HandleOf(mount.Path + "/a/b/c/file"), dir = HandleOf(mount.Path + "/a/b/c");
        long forgets = Forgets(mount);
        Evict(mount.Path);
        // The kernel sends FORGETs after the remount has returned.
        Assert.True(SpinWait.SpinUntil(() => Forgets(mount) > forgets, 10_000), "nothing was evicted");

        int fd = OpenHandle(mount.Path, dir);
        Assert.True(fd >= 0, $"directory: errno {-fd}");
        Assert.Equal(mount.Path + "/a/b/c", File.ResolveLinkTarget($"/proc/self/fd/{fd}", false)!.FullName);
        Syscall.close(fd);
        Evict(mount.Path);
        fd = OpenHandle(mount.Path, file);
        Assert.True(fd >= 0, $"file: errno {-fd}");
        byte* text = stackalloc byte[20];
        Assert.Equal(7, Syscall.read(fd, text, 20));
        Syscall.close(fd);
    }

    [FuseFact]
    public void Handles_survive_a_new_mount_of_the_same_file_system()
    {
        var fs = new MemFs();
        byte[] file;
        using (var mount = new MemFsMount(fs))
        {
            Directory.CreateDirectory(mount.Path + "/d");
            File.WriteAllText(mount.Path + "/d/file", "content");
            file = HandleOf(mount.Path + "/d/file");
        }

        using var again = new MemFsMount(fs);
        int fd = OpenHandle(again.Path, file);
        Assert.True(fd >= 0, $"errno {-fd}");
        Syscall.close(fd);
    }

    [FuseFact]
    public void Handles_into_a_pool_survive_eviction_and_a_restart_of_the_daemon()
    {
        using var mount = new CliMount();
        mount.Create();
        mount.Mount();
        Directory.CreateDirectory(mount.Mnt + "/a/b");
        File.WriteAllText(mount.Mnt + "/a/b/file", "content");
        byte[] file = HandleOf(mount.Mnt + "/a/b/file"), dir = HandleOf(mount.Mnt + "/a/b");
        Evict(mount.Mnt);
        int fd = OpenHandle(mount.Mnt, dir);
        Assert.True(fd >= 0, $"after eviction: errno {-fd}");
        Syscall.close(fd);
        mount.Unmount();

        mount.Mount();
        fd = OpenHandle(mount.Mnt, dir);
        Assert.True(fd >= 0, $"directory after a restart: errno {-fd}");
        Assert.Equal(mount.Mnt + "/a/b", File.ResolveLinkTarget($"/proc/self/fd/{fd}", false)!.FullName);
        Syscall.close(fd);
        fd = OpenHandle(mount.Mnt, file);
        Assert.True(fd >= 0, $"file after a restart: errno {-fd}");
        Syscall.close(fd);
        File.Delete(mount.Mnt + "/a/b/file");
        Evict(mount.Mnt);
        Assert.Equal(-ZfsLite.Fs.Errno.ESTALE, OpenHandle(mount.Mnt, file));
        mount.Unmount();
    }

    [FuseFact]
    public void Handles_of_removed_files_are_stale_even_when_the_number_is_used_again()
    {
        using var mount = new MemFsMount(new MemFs { ReuseNumbers = true });
        File.WriteAllText(mount.Path + "/old", "old");
        byte[] old = HandleOf(mount.Path + "/old");
        Syscall.stat(mount.Path + "/old", out Stat before);
        File.Delete(mount.Path + "/old");
        Evict(mount.Path);
        Assert.Equal(-ZfsLite.Fs.Errno.ESTALE, OpenHandle(mount.Path, old));
        File.WriteAllText(mount.Path + "/new", "new");
        Syscall.stat(mount.Path + "/new", out Stat after);
        Assert.Equal(before.st_ino, after.st_ino);
        Evict(mount.Path);
        Assert.Equal(-ZfsLite.Fs.Errno.ESTALE, OpenHandle(mount.Path, old));
    }
}
