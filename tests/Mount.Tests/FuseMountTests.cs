using System.Diagnostics;
using Mono.Unix.Native;
using Xunit;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>Mounting, unmounting in every way, handles, and errors, on a real mount of the file system in memory.</summary>
[Collection("Mount")]
public sealed class FuseMountTests
{
    private const long SecondNs = 1_000_000_000;
    private static readonly byte[] s_content = [.. Enumerable.Range(0, 400_000).Select(i => (byte)(i * 31))];

    private static (int Code, string Output) Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output);
    }

    private static bool IsMounted(string path) => File.ReadAllText("/proc/self/mountinfo").Contains($" {path} ", StringComparison.Ordinal);

    private static void AssertEnded(MemFsMount mount)
    {
        Assert.True(mount.Server.WaitEnded(Kclock.NowNs + (10 * SecondNs)), "the session did not end");
        Assert.False(IsMounted(mount.Path));
        Assert.Equal(0, mount.Server.Session.BufferBytes);
    }

    /// <summary>What was written last, and cached only, has reached the file system.</summary>
    private static unsafe void AssertContent(MemFs fs, string name)
    {
        Assert.Equal(0, fs.Lookup(fs.RootObject, System.Text.Encoding.UTF8.GetBytes(name), out ZnodeAttr attr));
        byte[] read = new byte[s_content.Length];
        fixed (byte* p = read)
        {
            fs.Read(attr.Object, 0, read.Length, p, out int done);
            Assert.Equal(read.Length, done);
        }

        Assert.Equal(s_content, read);
    }

    [FuseFact]
    public void The_mount_table_tells_pool_type_and_options()
    {
        using var mount = new MemFsMount();
        string line = File.ReadLines("/proc/self/mounts").Single(l => l.Contains(mount.Path, StringComparison.Ordinal));
        Assert.StartsWith($"memfs {mount.Path} fuse.zfslite rw,nosuid,nodev", line, StringComparison.Ordinal);
        Assert.Contains("default_permissions,allow_other", line, StringComparison.Ordinal);
    }

    [FuseFact]
    public void Umount_writes_the_cache_back_and_ends_the_session()
    {
        using var mount = new MemFsMount();
        File.WriteAllBytes(mount.Path + "/f", s_content);
        Assert.Equal((0, string.Empty), Run("umount", mount.Path));
        AssertEnded(mount);
        AssertContent(mount.Fs, "f");
    }

    [FuseFact]
    public void Fusermount3_unmounts_too()
    {
        using var mount = new MemFsMount();
        File.WriteAllBytes(mount.Path + "/f", s_content);
        Assert.Equal((0, string.Empty), Run("fusermount3", "-u", mount.Path));
        AssertEnded(mount);
        AssertContent(mount.Fs, "f");
    }

    [FuseFact]
    public void RequestUnmount_writes_the_cache_back_and_ends_the_session()
    {
        using var mount = new MemFsMount();
        File.WriteAllBytes(mount.Path + "/f", s_content);
        mount.Server.RequestUnmount();
        mount.Server.RequestUnmount();
        AssertEnded(mount);
        AssertContent(mount.Fs, "f");
    }

    [FuseFact]
    public void RequestUnmount_with_a_file_open_serves_it_until_it_is_closed()
    {
        using var mount = new MemFsMount();
        File.WriteAllBytes(mount.Path + "/f", s_content);
        using (FileStream open = File.Open(mount.Path + "/f", FileMode.Open))
        {
            mount.Server.RequestUnmount();
            while (IsMounted(mount.Path))
            {
                Kthread.Sleep(5_000_000);
            }

            open.Seek(0, SeekOrigin.End);
            open.Write([1, 2, 3]);
            open.Flush(true);
            Assert.False(mount.Server.HasEnded);
        }

        AssertEnded(mount);
        AssertContent(mount.Fs, "f");
        Assert.Contains("in use", mount.Log.ToString(), StringComparison.Ordinal);
    }

    [FuseFact]
    public void RequestUnmount_does_not_wait_for_ever_and_keeps_what_was_cached()
    {
        using var mount = new MemFsMount(new MemFs(), graceNs: SecondNs / 2);
        int fd = Syscall.open(mount.Path + "/f", OpenFlags.O_CREAT | OpenFlags.O_RDWR, FilePermissions.S_IRUSR);
        unsafe
        {
            fixed (byte* p = s_content)
            {
                Assert.Equal(s_content.Length, Syscall.write(fd, p, (ulong)s_content.Length));
            }

            mount.Server.RequestUnmount();
            AssertEnded(mount);
            AssertContent(mount.Fs, "f");
            mount.Server.Dispose();
            Assert.Equal(-1, Syscall.fsync(fd));
        }

        Syscall.close(fd);
    }

    [FuseFact]
    public void A_mount_that_lives_on_in_another_namespace_does_not_keep_the_daemon()
    {
        using var mount = new MemFsMount(new MemFs(), graceNs: SecondNs / 2);
        var start = new ProcessStartInfo("unshare", ["-m", "--propagation", "private", "sleep", "30"]);
        using Process other = Process.Start(start)!;
        while (!File.Exists($"/proc/{other.Id}/mountinfo") || Run("readlink", $"/proc/{other.Id}/ns/mnt").Output == Run("readlink", "/proc/self/ns/mnt").Output)
        {
            Kthread.Sleep(5_000_000);
        }

        mount.Server.RequestUnmount();
        AssertEnded(mount);
        Assert.Contains(mount.Path, File.ReadAllText($"/proc/{other.Id}/mountinfo"), StringComparison.Ordinal);
        mount.Server.Dispose();
        other.Kill();
        other.WaitForExit();
    }

    [FuseFact]
    public void Abort_frees_every_waiting_process_though_the_file_system_is_stuck()
    {
        using var gate = new ManualResetEventSlim();
        var fs = new MemFs();
        using var mount = new MemFsMount(fs);
        File.WriteAllBytes(mount.Path + "/f", s_content);
        fs.OnRead = gate.Wait;
        fs.OnWrite = gate.Wait;
        Task[] stuck = [.. Enumerable.Range(0, 6).Select(i => Task.Run(() =>
        {
            int fd = Syscall.open(mount.Path + "/f", OpenFlags.O_RDWR | OpenFlags.O_SYNC);
            unsafe
            {
                byte b = 1;
                Assert.Equal(-1, Syscall.pwrite(fd, &b, 1, i));
            }

            Syscall.close(fd);
        }))];
        try
        {
            Assert.False(Task.WaitAll(stuck, 300));
            Assert.True(mount.Server.Abort());
            Assert.True(Task.WaitAll(stuck, 10_000), "somebody still hangs");
        }
        finally
        {
            gate.Set();
        }

        Run("umount", mount.Path);
        AssertEnded(mount);
    }

    [FuseFact]
    public void Fusermount3_mounts_as_well()
    {
        using var mount = new MemFsMount(new MemFs(), useFusermount: true);
        string line = File.ReadLines("/proc/self/mounts").Single(l => l.Contains(mount.Path, StringComparison.Ordinal));
        Assert.StartsWith($"memfs {mount.Path} fuse.zfslite rw,nosuid,nodev", line, StringComparison.Ordinal);
        File.WriteAllBytes(mount.Path + "/f", s_content);
        Assert.Equal(s_content, File.ReadAllBytes(mount.Path + "/f"));
        mount.Server.RequestUnmount();
        AssertEnded(mount);
        AssertContent(mount.Fs, "f");
    }

    [FuseFact]
    public void A_read_only_mount_refuses_changes()
    {
        using var mount = new MemFsMount(new MemFs(), readOnly: true);
        Assert.Equal(-1, Syscall.mkdir(mount.Path + "/d", FilePermissions.ACCESSPERMS));
        Assert.Equal(Mono.Unix.Native.Errno.EROFS, Stdlib.GetLastError());
    }

    [FuseFact]
    public void Wrong_mount_points_give_one_clear_line()
    {
        TestMemory.Ensure();
        string dir = Directory.CreateTempSubdirectory("fuse-wrong-").FullName;
        string file = Path.Combine(dir, "file");
        File.WriteAllText(file, "x");
        string Message(string where) => Assert.Throws<FuseMountException>(
            () => FuseServer.Start(new MemFs(), new FuseMountOptions { MountPoint = where, Source = "memfs" })).Message;

        Assert.Contains("no such directory; make it first", Message(Path.Combine(dir, "missing")), StringComparison.Ordinal);
        Assert.Contains("not a directory", Message(file), StringComparison.Ordinal);
        using (var mount = new MemFsMount())
        {
            Assert.Contains("mounted there already", Message(mount.Path), StringComparison.Ordinal);
        }

        Assert.DoesNotContain("\n", Message(file), StringComparison.Ordinal);
        Directory.Delete(dir, true);
    }

    [FuseFact]
    public void Permissions_are_checked_by_the_kernel()
    {
        using var mount = new MemFsMount();
        File.WriteAllText(mount.Path + "/secret", "x");
        Syscall.chmod(mount.Path + "/secret", FilePermissions.S_IRUSR);
        Assert.NotEqual(0, Run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "cat", mount.Path + "/secret").Code);
        Syscall.chmod(mount.Path + "/secret", (FilePermissions)0x124);
        Assert.Equal((0, "x"), Run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "cat", mount.Path + "/secret"));
    }

    [FuseFact]
    public void Writing_as_another_user_clears_set_id_bits()
    {
        using var mount = new MemFsMount();
        string path = mount.Path + "/prog";
        File.WriteAllText(path, "x");
        foreach (string script in new[] { "echo y >> \"$0\"", "truncate -s 1 \"$0\"", "echo z > \"$0\"" })
        {
            Syscall.chmod(path, (FilePermissions)0xDFF);
            Assert.Equal((0, string.Empty), Run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", script, path));
            Syscall.stat(path, out Stat stat);
            Assert.Equal((FilePermissions)0x1FF, stat.st_mode & (FilePermissions)0xFFF);
        }
    }
}
