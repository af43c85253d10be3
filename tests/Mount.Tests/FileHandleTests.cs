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
    private static long Forgets(MemFsMount mount) => mount.Server.Session.Statistics()
        .Where(s => s.Opcode is ZfsLite.Fs.FuseOpcode.Forget or ZfsLite.Fs.FuseOpcode.BatchForget).Sum(s => s.Count);

    [FuseFact]
    public void Handles_of_files_and_directories_open_after_eviction()
    {
        using var mount = new MemFsMount();
        Directory.CreateDirectory(mount.Path + "/a/b/c");
        File.WriteAllText(mount.Path + "/a/b/c/file", "content");
        byte[] file = FileHandle.Of(mount.Path + "/a/b/c/file"), dir = FileHandle.Of(mount.Path + "/a/b/c");
        long forgets = Forgets(mount);
        FileHandle.Evict(mount.Path);
        // The kernel sends FORGETs after the remount has returned.
        Assert.True(SpinWait.SpinUntil(() => Forgets(mount) > forgets, 10_000), "nothing was evicted");

        int fd = FileHandle.Open(mount.Path, dir);
        Assert.True(fd >= 0, $"directory: errno {-fd}");
        Assert.Equal(mount.Path + "/a/b/c", File.ResolveLinkTarget($"/proc/self/fd/{fd}", false)!.FullName);
        Syscall.close(fd);
        FileHandle.Evict(mount.Path);
        fd = FileHandle.Open(mount.Path, file);
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
            file = FileHandle.Of(mount.Path + "/d/file");
        }

        using var again = new MemFsMount(fs);
        int fd = FileHandle.Open(again.Path, file);
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
        byte[] file = FileHandle.Of(mount.Mnt + "/a/b/file"), dir = FileHandle.Of(mount.Mnt + "/a/b");
        FileHandle.Evict(mount.Mnt);
        int fd = FileHandle.Open(mount.Mnt, dir);
        Assert.True(fd >= 0, $"after eviction: errno {-fd}");
        Syscall.close(fd);
        mount.Unmount();

        mount.Mount();
        fd = FileHandle.Open(mount.Mnt, dir);
        Assert.True(fd >= 0, $"directory after a restart: errno {-fd}");
        Assert.Equal(mount.Mnt + "/a/b", File.ResolveLinkTarget($"/proc/self/fd/{fd}", false)!.FullName);
        Syscall.close(fd);
        fd = FileHandle.Open(mount.Mnt, file);
        Assert.True(fd >= 0, $"file after a restart: errno {-fd}");
        Syscall.close(fd);
        File.Delete(mount.Mnt + "/a/b/file");
        FileHandle.Evict(mount.Mnt);
        Assert.Equal(-ZfsLite.Fs.Errno.ESTALE, FileHandle.Open(mount.Mnt, file));
        mount.Unmount();
    }

    [FuseFact]
    public void Handles_of_removed_files_are_stale_even_when_the_number_is_used_again()
    {
        using var mount = new MemFsMount(new MemFs { ReuseNumbers = true });
        File.WriteAllText(mount.Path + "/old", "old");
        byte[] old = FileHandle.Of(mount.Path + "/old");
        Syscall.stat(mount.Path + "/old", out Stat before);
        File.Delete(mount.Path + "/old");
        FileHandle.Evict(mount.Path);
        Assert.Equal(-ZfsLite.Fs.Errno.ESTALE, FileHandle.Open(mount.Path, old));
        File.WriteAllText(mount.Path + "/new", "new");
        Syscall.stat(mount.Path + "/new", out Stat after);
        Assert.Equal(before.st_ino, after.st_ino);
        FileHandle.Evict(mount.Path);
        Assert.Equal(-ZfsLite.Fs.Errno.ESTALE, FileHandle.Open(mount.Path, old));
    }
}
