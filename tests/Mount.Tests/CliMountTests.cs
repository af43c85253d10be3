using System.Text.Json;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>What a user does: create, mount, copy, unmount, and let others judge the pool.</summary>
public sealed class CliMountTests : IDisposable
{
    private readonly CliMount _m = new();

    public void Dispose() => _m.Dispose();

    [FuseFact]
    public void A_copied_tree_is_the_same_after_a_new_mount_and_the_pool_is_clean()
    {
        _m.Create();
        _m.Mount();
        string source = MakeTree();
        _m.Shell($"cp -a {source} {_m.Mnt}/tree");
        _m.Unmount();
        _m.JudgesAreContent();
        _m.Mount("-o", "ro");
        Assert.Equal(Sum(source), Sum($"{_m.Mnt}/tree"));
        Assert.Equal(Modes(source), Modes($"{_m.Mnt}/tree"));
        _m.Unmount();
        _m.JudgesAreContent();
    }

    [FuseFact]
    public void What_a_daemon_in_the_background_reports_is_in_its_log()
    {
        _m.Create();
        _m.Mount("-d");
        File.WriteAllText(_m.Mnt + "/traced", "x");
        _m.Unmount();
        string log = File.ReadAllText(Assert.Single(Directory.GetFiles(_m.Files.RunDir, "tank-*.log")));
        Assert.Contains("Create", log, StringComparison.Ordinal);
    }

    [FuseFact]
    public void The_pool_is_closed_when_unmount_returns()
    {
        _m.Create();
        for (int i = 0; i < 3; i++)
        {
            _m.Mount();
            File.WriteAllText($"{_m.Mnt}/f{i}", new string('x', 100_000));
            _m.Unmount();
            Assert.Contains("exported", _m.Ok("import", "--list", _m.PoolDir), StringComparison.Ordinal);
        }

        _m.JudgesAreContent();
    }

    [FuseFact]
    public void A_plain_umount_closes_the_pool_too()
    {
        _m.Create();
        _m.Mount();
        int pid = _m.Status().GetProperty("pid").GetInt32();
        File.WriteAllText($"{_m.Mnt}/f", "kept");
        _m.Shell($"umount {_m.Mnt}; for i in $(seq 200); do [ -d /proc/{pid} ] || break; sleep 0.05; done; [ ! -d /proc/{pid} ]");
        _m.JudgesAreContent();
        _m.Mount();
        Assert.Equal("kept", File.ReadAllText($"{_m.Mnt}/f"));
    }

    [FuseFact]
    public void SIGTERM_closes_the_pool_too()
    {
        _m.Create();
        _m.Mount();
        int pid = _m.Status().GetProperty("pid").GetInt32();
        File.WriteAllText($"{_m.Mnt}/f", "kept");
        _m.Shell($"kill -TERM {pid}; for i in $(seq 200); do [ -d /proc/{pid} ] || break; sleep 0.05; done; [ ! -d /proc/{pid} ]");
        _m.JudgesAreContent();
        _m.Mount("-o", "ro");
        Assert.Equal("kept", File.ReadAllText($"{_m.Mnt}/f"));
    }

    [FuseFact]
    public void Every_question_is_answered_on_a_mounted_pool()
    {
        _m.Create();
        _m.Mount("-o", "relatime");
        File.WriteAllText($"{_m.Mnt}/f", new string('x', 50_000));
        _m.Ok("sync", "tank");
        JsonElement status = _m.Status();
        Assert.Equal("mounted", status.GetProperty("state").GetString());
        Assert.Equal("rw,relatime", status.GetProperty("options").GetString());
        Assert.Equal(_m.Mnt, status.GetProperty("mount_point").GetString());
        Assert.Equal(64L << 20, status.GetProperty("arena").GetInt64());
        Assert.Contains(_m.Mnt, _m.Ok("list", "tank"), StringComparison.Ordinal);
        Assert.Contains("zfs_znode_cache", _m.Ok("kmem", _m.Mnt), StringComparison.Ordinal);
        Assert.Contains("committed", _m.Ok("txgs", _m.Image), StringComparison.Ordinal);
        _m.Ok("set", "tank", "compression=gzip");
        Assert.Contains("gzip", _m.Ok("get", "tank", "compression"), StringComparison.Ordinal);
        _m.Refused("'best' is not a value of compression", "set", "tank", "compression=best");
        _m.Unmount();
        Assert.Contains("gzip", _m.Ok("get", _m.Image, "compression"), StringComparison.Ordinal);
    }

    [FuseFact]
    public void Attributes_of_slab_caches_are_shown_and_set_on_a_live_mount()
    {
        _m.Create();
        _m.Mount("--slab-engine", "slubq");
        Assert.Contains("queue_flush", _m.Ok("kmem", "get", "tank", "dmu_buf_impl_t"), StringComparison.Ordinal);
        _m.Ok("kmem", "set", "tank", "dmu_buf_impl_t", "cpu_queue_size=256", "batch_size=100");
        File.WriteAllText($"{_m.Mnt}/f", new string('x', 500_000));
        Assert.Contains("256", _m.Ok("kmem", "get", "tank", "dmu_buf_impl_t", "cpu_queue_size"), StringComparison.Ordinal);
        Assert.Contains("100", _m.Ok("kmem", "get", _m.Mnt, "dmu_buf_impl_t", "batch_size"), StringComparison.Ordinal);
        _m.Ok("kmem", "set", "tank", "dmu_buf_impl_t", "shrink=1");
        _m.Refused("batch_size=257: 1 to 256 is possible", "kmem", "set", "tank", "dmu_buf_impl_t", "batch_size=257");
        _m.Refused("there is no attribute nothing", "kmem", "set", "tank", "dmu_buf_impl_t", "nothing=1");
        _m.Refused("there is no cache nobody", "kmem", "get", "tank", "nobody");
        Assert.Equal(500_000, new FileInfo($"{_m.Mnt}/f").Length);
        _m.Unmount();
    }

    [FuseFact]
    public void Sync_makes_everything_survive_a_kill()
    {
        _m.Create();
        _m.Mount();
        int pid = _m.Status().GetProperty("pid").GetInt32();
        _m.Shell($"for i in $(seq 200); do echo content $i > {_m.Mnt}/f$i; done; sync -f {_m.Mnt} || true");
        _m.Ok("sync", _m.Mnt);
        _m.Shell($"kill -KILL {pid}; for i in $(seq 200); do [ -d /proc/{pid} ] || break; sleep 0.05; done");
        CliResult unmount = _m.Files.RunProcess(["unmount", _m.Mnt]);
        Assert.Equal(0, unmount.ExitCode);
        Assert.Contains("was gone; the dead mount is removed", unmount.Error, StringComparison.Ordinal);
        _m.JudgesAreContent();
        _m.Mount();
        Assert.Equal(200, Directory.GetFiles(_m.Mnt).Length);
        Assert.Equal("content 77\n", File.ReadAllText($"{_m.Mnt}/f77"));
    }

    [FuseFact]
    public void Remount_changes_ro_and_atime()
    {
        _m.Create();
        _m.Mount("-o", "atime");
        File.WriteAllText($"{_m.Mnt}/f", "x");
        _m.Ok("mount", _m.Image, _m.Mnt, "-o", "remount,ro,noatime");
        Assert.Equal("ro,noatime", _m.Status().GetProperty("options").GetString());
        Assert.Throws<IOException>(() => File.WriteAllText($"{_m.Mnt}/g", "x"));
        _m.Ok("mount", _m.Image, _m.Mnt, "-o", "remount,rw,relatime");
        Assert.Equal("rw,relatime", _m.Status().GetProperty("options").GetString());
        File.WriteAllText($"{_m.Mnt}/g", "x");
        _m.Unmount();
        _m.Mount("-o", "ro");
        _m.Refused("cannot become writable", "mount", _m.Image, _m.Mnt, "-o", "remount,rw");
    }

    [FuseFact]
    public void Read_only_changes_no_byte_of_the_image()
    {
        _m.Create();
        _m.Mount();
        File.WriteAllText($"{_m.Mnt}/f", "x");
        _m.Unmount();
        string before = _m.Shell($"sha256sum {_m.Image}");
        _m.Mount("-o", "ro,atime");
        Assert.Equal("x", File.ReadAllText($"{_m.Mnt}/f"));
        Assert.Throws<IOException>(() => File.Delete($"{_m.Mnt}/f"));
        _m.Unmount();
        Assert.Equal(before, _m.Shell($"sha256sum {_m.Image}"));
    }

    [FuseFact]
    public void Dev_and_suid_are_off_unless_asked_for()
    {
        _m.Create();
        _m.Mount();
        string flags = _m.Shell($"grep ' {_m.Mnt} ' /proc/mounts");
        Assert.Contains("fuse.zfslite", flags, StringComparison.Ordinal);
        Assert.StartsWith("tank ", flags, StringComparison.Ordinal);
        Assert.Contains("nosuid", flags, StringComparison.Ordinal);
        Assert.Contains("nodev", flags, StringComparison.Ordinal);
        _m.Unmount();
        _m.Mount("-o", "dev,suid,noexec");
        flags = _m.Shell($"grep ' {_m.Mnt} ' /proc/mounts");
        Assert.DoesNotContain("nosuid", flags, StringComparison.Ordinal);
        Assert.DoesNotContain("nodev", flags, StringComparison.Ordinal);
        Assert.Contains("noexec", flags, StringComparison.Ordinal);
    }

    [FuseFact]
    public void Busy_and_taken_mounts_are_refused_by_name()
    {
        _m.Create();
        _m.Mount();
        _m.Refused("is already a mount point", "mount", _m.Image, _m.Mnt, "--background");
        string other = Directory.CreateDirectory(_m.Files.File("other")).FullName;
        _m.Refused("in use by another process", "mount", _m.Image, other, "--background");
        _m.Refused("in use by another process", "mount", _m.Image, other);
        _m.Refused("in use", "check", _m.Image);
        using (File.Create($"{_m.Mnt}/open"))
        {
            _m.Refused("is in use: a process has a file open there", "unmount", _m.Mnt);
        }

        File.WriteAllText($"{_m.Mnt}/still", "alive");
        _m.Unmount();
        _m.JudgesAreContent();
    }

    [FuseFact]
    public void A_device_inside_its_own_mount_point_is_refused()
    {
        _m.Create();
        _m.Refused("could not be reached any more", "mount", _m.Image, _m.PoolDir, "--background");
    }

    [FuseFact]
    public void Without_dev_fuse_the_message_says_so()
    {
        _m.Create();
        CliResult result = _m.Files.Start("unshare", ["-m", "bash", "-c", $"mount -t tmpfs none /dev && exec {AppContext.BaseDirectory}zfslite mount {_m.Image} {_m.Mnt} --background 2>&1"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("/dev/fuse is not there", result.Output, StringComparison.Ordinal);
        Assert.Equal(1, result.Output.Count(c => c == '\n'));
    }

    [FuseFact]
    public void A_dataset_that_is_not_there_is_refused_by_name()
    {
        _m.Create();
        _m.Refused("tank/nofs", "mount", _m.Image, _m.Mnt, "-o", "dataset=nofs", "--background");
        _m.Mount();
    }

    [FuseFact]
    public void A_block_bad_in_all_copies_is_an_I_O_error_for_its_file_alone()
    {
        _m.Create();
        _m.Mount();
        byte[] marked = new byte[128 << 10];
        Array.Fill(marked, (byte)0x5a);
        File.WriteAllBytes($"{_m.Mnt}/bad", marked);
        File.WriteAllText($"{_m.Mnt}/good", "good");
        _m.Unmount();
        int damaged = Damage(marked.AsSpan(0, 4096));
        Assert.Equal(1, damaged);
        _m.Mount("-o", "ro");
        Assert.Throws<IOException>(() => File.ReadAllBytes($"{_m.Mnt}/bad"));
        Assert.Equal("good", File.ReadAllText($"{_m.Mnt}/good"));
        Assert.True(_m.Status().GetProperty("checksum_errors").GetInt64() > 0);
        _m.Unmount();
        Assert.Equal(3, _m.Files.RunProcess(["check", _m.Image]).ExitCode);
    }

    [GoldenFact("goldd")]
    public void The_log_of_another_implementation_is_replayed_and_left_alone_by_a_read_only_mount()
    {
        Unpack("goldd", "d0.img.gz");
        string before = _m.Shell($"sha256sum {_m.Image}");
        _m.Mount("-o", "ro");
        Assert.False(File.Exists($"{_m.Mnt}/z_big"));
        _m.Unmount();
        Assert.Equal(before, _m.Shell($"sha256sum {_m.Image}"));
        _m.Mount();
        Assert.Equal(200_000, new FileInfo($"{_m.Mnt}/z_big").Length);
        _m.Unmount();
        _m.ZdbIsContent("goldd");
    }

    [GoldenFact("goldmini")]
    public void A_pool_of_another_implementation_is_read_written_and_clean()
    {
        Unpack("goldmini", "m.img.gz");
        _m.Mount();
        Assert.Equal(["hello.txt", "sub", "sym"], Directory.GetFileSystemEntries(_m.Mnt).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal("hello.txt", File.ResolveLinkTarget($"{_m.Mnt}/sym", false)!.Name);
        File.WriteAllText($"{_m.Mnt}/sub/new", new string('n', 300_000));
        _m.Unmount();
        _m.ZdbIsContent("goldmini");
    }

    [FuseFact]
    public void The_helpers_of_mount_and_umount_work_as_they_are_called()
    {
        _m.Create();
        _m.Ok("mount-helper", "--", _m.Image, _m.Mnt, "-n", "-o", "rw,noatime,memory=32M", "-t", "fuse.zfslite");
        Assert.Equal("rw,noatime", _m.Status().GetProperty("options").GetString());
        Assert.Equal(32L << 20, _m.Status().GetProperty("arena").GetInt64());
        _m.Ok("umount-helper", "--", _m.Mnt, "-n");
        _m.JudgesAreContent();
    }

    private string MakeTree()
    {
        string source = _m.Files.File("source");
        _m.Shell($"""
            mkdir -p {source}/a/b/c {source}/empty
            for i in $(seq 300); do head -c $((i * 97)) /dev/urandom > {source}/a/f$i; done
            head -c 5000000 /dev/urandom > {source}/a/b/big
            ln -s ../a/f1 {source}/a/link; ln {source}/a/f2 {source}/a/b/hard; mkfifo {source}/a/pipe
            chmod 4711 {source}/a/f3; chmod 000 {source}/a/f4; touch -d '2001-02-03 04:05:06.789' {source}/a/f5
            truncate -s 10M {source}/a/b/c/sparse
            """);
        return source;
    }

    private string Sum(string directory) =>
        _m.Shell($"cd {directory} && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum");

    private string Modes(string directory) =>
        _m.Shell($"cd {directory} && find . \\( -type d -printf '%P %y %m %U %G %n %T@\\n' \\) -o -printf '%P %y %m %U %G %n %l %T@ %s\\n' | LC_ALL=C sort");

    /// <summary>Overwrites every place of the image that holds this text; returns how many.</summary>
    private int Damage(ReadOnlySpan<byte> text)
    {
        byte[] image = File.ReadAllBytes(_m.Image);
        int count = 0;
        for (int at = 4 << 20; at + text.Length <= image.Length; at += 512)
        {
            if (image.AsSpan(at, text.Length).SequenceEqual(text))
            {
                using FileStream file = File.OpenWrite(_m.Image);
                file.Position = at;
                file.Write(new byte[64]);
                count++;
                at += 128 << 10;
            }
        }

        return count;
    }

    private void Unpack(string pool, string image)
    {
        using var gz = new System.IO.Compression.GZipStream(
            File.OpenRead(Path.Combine(GoldenPools.Folder(pool), image)), System.IO.Compression.CompressionMode.Decompress);
        using FileStream file = File.Create(_m.Image);
        gz.CopyTo(file);
    }
}
