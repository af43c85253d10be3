using System.Runtime.InteropServices;
using System.Text.Json;
using Xunit;
using ZfsLite.Fs;
using ZfsLite.Tests.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>.zfs in the root of a mount, and the slab table in it and in <c>kmem slab</c>.</summary>
public sealed class CliControlDirectoryTests : IDisposable
{
    private const string Header =
        "name                                    flags      size     alloc slabsize  objsize  total alloc   max  total alloc   max  dlock alloc   max";

    private readonly CliMount _m = new();

    private string Slab => _m.Mnt + "/.zfs/kstat/kmem/slab";

    public void Dispose() => _m.Dispose();

    [FuseFact]
    public void The_slab_table_has_the_columns_of_spl_with_figures_for_its_own_caches_alone()
    {
        _m.Create();
        _m.Mount("--slab-engine", "spl", "--spl-slab-limit", "16384");
        File.WriteAllBytes(_m.Mnt + "/f", new byte[3 << 20]);
        string[][] caches = Table(_m.Ok("kmem", "slab", "tank"));
        Assert.Equal(caches.Select(static c => c[0]).Order(StringComparer.Ordinal), caches.Select(static c => c[0]));
        string[] large = caches.Single(static c => c[0] == "zio_buf_131072");
        string[] small = caches.Single(static c => c[0] == "zfs_znode_cache");
        Assert.DoesNotContain("-", large);
        Assert.Equal(0x80, Convert.ToInt32(small[1], 16) & 0x80);
        Assert.Equal(["-", "-", "-", "-", "-", "-", "-", "-", "-", "-"], [small[2], small[4], .. small[6..9], small[9], .. small[11..]]);
        Assert.Equal(long.Parse(large[4]) * long.Parse(large[6]), long.Parse(large[2]));
        Assert.All(caches, static c => Assert.Equal(long.Parse(c[5]) * long.Parse(c[10]), long.Parse(c[3])));
        Assert.True(long.Parse(large[8]) >= long.Parse(large[6]) && long.Parse(large[11]) >= long.Parse(large[10]));
        Assert.True(long.Parse(large[11]) > 0);
        JsonElement json = JsonDocument.Parse(_m.Ok("kmem", "slab", "--json")).RootElement;
        JsonElement znodes = json.EnumerateArray().Single(static c => c.GetProperty("cache").GetString() == "zfs_znode_cache");
        Assert.False(znodes.TryGetProperty("slab_total", out _));
        Assert.Equal(long.Parse(small[5]), znodes.GetProperty("object_size").GetInt64());
        string[][] file = Table(File.ReadAllText(Slab));
        Assert.Equal(caches.Select(static c => (c[0], c[1], c[4], c[5])), file.Select(static c => (c[0], c[1], c[4], c[5])));
    }

    [FuseFact]
    public void Without_a_name_the_only_mount_is_meant_and_with_none_a_line_says_so()
    {
        _m.Create();
        _m.Refused("no pool is mounted by zfslite", "kmem", "slab");
        _m.Mount("--slab-engine", "slubq");
        Assert.All(Table(_m.Ok("kmem", "slab")), static c => Assert.Equal("-", c[6]));
        _m.Refused("is not a pool or directory", "kmem", "slab", "nopool");
    }

    [FuseFact]
    public void The_engine_and_its_limit_come_from_the_command_line_and_are_shown()
    {
        _m.Create();
        _m.Mount("--slab-engine", "spl", "--spl-slab-limit", "0");
        Assert.Equal("spl", _m.Status().GetProperty("slab_engine").GetString());
        JsonElement kmem = JsonDocument.Parse(_m.Ok("kmem", "tank", "--json")).RootElement;
        Assert.Equal(("spl", 0), (kmem.GetProperty("slab_engine").GetString(), kmem.GetProperty("spl_slab_limit").GetInt32()));
        long min = kmem.GetProperty("min").GetInt64();
        string[][] caches = Table(_m.Ok("kmem", "slab"));
        Assert.Equal(["kmalloc", "kmem_queue"], caches.Where(static c => c[6] == "-").Select(static c => c[0].Split('-')[0]).Distinct());
        Assert.Contains(caches, static c => c[0] == "dnode_t");
        _m.Unmount();
        _m.Mount("--slab-engine", "slubq");
        Assert.Equal("slubq", _m.Status().GetProperty("slab_engine").GetString());
        Assert.Equal(min, 2 * JsonDocument.Parse(_m.Ok("kmem", "tank", "--json")).RootElement.GetProperty("min").GetInt64());
        Assert.Contains("slab engine slubq", _m.Ok("status", "tank"), StringComparison.Ordinal);
        _m.Unmount();
        _m.JudgesAreContent();
    }

    [FuseFact]
    public void The_engine_of_a_test_run_reaches_the_daemon()
    {
        _m.Create();
        foreach ((string limit, int expected) in new[] { ("", 16384), ("0", 0) })
        {
            _m.Shell($"ZFSLITE_SLAB_ENGINE=spl ZFSLITE_SPL_SLAB_LIMIT={limit} {AppContext.BaseDirectory}zfslite mount {_m.Image} {_m.Mnt} --memory 64M --background");
            JsonElement kmem = JsonDocument.Parse(_m.Ok("kmem", "tank", "--json")).RootElement;
            Assert.Equal(("spl", expected), (kmem.GetProperty("slab_engine").GetString(), kmem.GetProperty("spl_slab_limit").GetInt32()));
            _m.Unmount();
        }
    }

    [FuseFact]
    public void It_is_found_by_name_and_by_nothing_else()
    {
        _m.Create();
        _m.Mount();
        File.WriteAllText(_m.Mnt + "/f", "x");
        Assert.Equal(".\n..\nf", _m.Shell($"ls -a {_m.Mnt}"));
        Assert.Equal("1", _m.Shell($"find {_m.Mnt} -mindepth 1 | wc -l"));
        Assert.Equal("kstat\nkstat/kmem\nkstat/kmem/slab", _m.Shell($"cd {_m.Mnt}/.zfs && find * | sort"));
        Assert.Contains("dr-xr-xr-x 3 root root", _m.Shell($"ls -la {_m.Mnt}/.zfs"), StringComparison.Ordinal);
        Assert.Equal("444 0 root regular empty file", _m.Shell($"stat -c '%a %s %U %F' {Slab}"));
        Assert.Equal(_m.Shell($"stat -c %i {_m.Mnt}"), _m.Shell($"stat -c %i {_m.Mnt}/.zfs/.."));
        Assert.Equal(_m.Mnt, _m.Shell($"cd {_m.Mnt}/.zfs/kstat/kmem && cd ../../.. && pwd -P"));
        _m.Shell($"! ls {_m.Mnt}/.zfs/nothing; mkdir {_m.Mnt}/sub; ! ls {_m.Mnt}/sub/.zfs; mkdir {_m.Mnt}/sub/.zfs; touch {_m.Mnt}/sub/.zfs/plain");
    }

    [FuseFact]
    public void Cat_cp_head_and_dd_byte_by_byte_read_whole_tables_while_the_figures_change()
    {
        _m.Create();
        _m.Mount("--slab-engine", "spl");
        string copies = Directory.CreateDirectory(_m.Files.File("copies")).FullName;
        _m.Shell($"""
            trap 'touch {copies}/stop' EXIT
            readers=; (i=0; while [ ! -e {copies}/stop ]; do head -c $((i % 9 * 70000)) /dev/zero > {_m.Mnt}/w$((i % 50)); i=$((i + 1)); done) & writer=$!
            for n in 1 2 3 4; do (for i in $(seq 5); do
                cat {Slab} > {copies}/cat.$n.$i; cp {Slab} {copies}/cp.$n.$i
                dd if={Slab} of={copies}/dd.$n.$i bs=1 status=none; head -n 2 {Slab} > {copies}/head.$n.$i
            done) & readers="$readers $!"; done
            for p in $readers; do wait $p; done
            touch {copies}/stop; wait $writer
            """);
        foreach (string path in Directory.GetFiles(copies).Where(static p => !p.EndsWith("stop", StringComparison.Ordinal)))
        {
            string text = File.ReadAllText(path);
            string[][] table = Table(text);
            Assert.Equal(Path.GetFileName(path).StartsWith("head", StringComparison.Ordinal), table.Length == 0);
            Assert.EndsWith("\n", text, StringComparison.Ordinal);
        }

        Assert.Equal(81, Directory.GetFiles(copies).Length);
    }

    [FuseFact]
    public void Nothing_in_it_can_be_changed_and_its_name_not_be_taken()
    {
        _m.Create();
        _m.Mount();
        string zfs = _m.Mnt + "/.zfs";
        File.WriteAllText(_m.Mnt + "/f", "x");
        Directory.CreateDirectory(_m.Mnt + "/d");
        const string readOnly = "Read-only file system";
        foreach ((string command, string expected) in new[]
        {
            ($"echo > {Slab}", readOnly), ($"echo >> {Slab}", readOnly), ($"truncate -s 0 {Slab}", readOnly), ($"touch {zfs}/x", readOnly),
            ($"mkdir {zfs}/x", readOnly), ($"ln -s x {zfs}/x", readOnly), ($"rm {Slab}", readOnly), ($"rmdir {zfs}/kstat", readOnly),
            ($"chmod 777 {Slab}", readOnly), ($"chown 1 {zfs}", readOnly), ($"touch {Slab}", readOnly), ($"ln {Slab} {_m.Mnt}/hard", readOnly),
            ($"ln {_m.Mnt}/f {zfs}/hard", readOnly), ($"mv -T {_m.Mnt}/d {zfs}/d", readOnly), ($"mv -T {zfs}/kstat {_m.Mnt}/kstat", readOnly),
            ($"setfattr -n user.a -v b {Slab}", readOnly), ($"fallocate -l 10 {Slab}", readOnly),
            ($"mkdir {zfs}", "File exists"), ($"ln -s x {_m.Mnt}/y && mv -T {_m.Mnt}/y {zfs}", "cannot overwrite directory"),
            ($"mv -T {_m.Mnt}/d {zfs}", readOnly), ($"mv -T {zfs} {_m.Mnt}/z", readOnly), ($"rmdir {zfs}", readOnly),
            ($"echo > {zfs}", "Is a directory"), ($"unlink {zfs}", "Is a directory"),
        })
        {
            CliResult result = _m.Files.Start("bash", ["-c", "exec 2>&1; " + command]);
            Assert.True(result.ExitCode != 0 && result.Output.Contains(expected, StringComparison.Ordinal), $"{command}: {result.ExitCode}: {result.Output}");
        }

        Assert.Equal(-1, Exchange(_m.Mnt + "/d", zfs, out int error));
        Assert.Equal(Errno.EROFS, error);
        Assert.Equal("d\nf\ny", _m.Shell($"ls {_m.Mnt}"));
        Table(File.ReadAllText(Slab));
        _m.Unmount();
        _m.JudgesAreContent();
    }

    [FuseFact]
    public void A_read_only_mount_has_it_and_handles_of_it_outlive_the_daemon()
    {
        _m.Create();
        _m.Mount();
        byte[] file = FileHandle.Of(Slab), dir = FileHandle.Of(_m.Mnt + "/.zfs/kstat");
        FileHandle.Evict(_m.Mnt);
        Assert.NotEmpty(Table(FileHandle.Read(_m.Mnt, file)));
        _m.Unmount();
        _m.Mount("-o", "ro");
        Assert.NotEmpty(Table(FileHandle.Read(_m.Mnt, file)));
        Assert.Equal(-Errno.ESTALE, FileHandle.Open(_m.Mnt, dir));
        Assert.Equal("kmem", _m.Shell($"ls {_m.Mnt}/.zfs/kstat"));
        Assert.Equal(_m.Mnt + "/.zfs/kstat", FileHandle.PathOf(_m.Mnt, dir));
        Assert.Throws<IOException>(() => File.WriteAllText(Slab, "x"));
    }

    private static int Exchange(string a, string b, out int error)
    {
        const uint exchange = 2;
        int result = PosixLibc.RenameAt2(PosixLibc.AtFdcwd, a, PosixLibc.AtFdcwd, b, exchange);
        error = Marshal.GetLastPInvokeError();
        return result;
    }

    /// <summary>The lines of a table, split at blanks; all is in its place.</summary>
    private static string[][] Table(string text)
    {
        string[] lines = text.TrimEnd('\n').Split('\n');
        Assert.StartsWith("--------------------- cache ---", lines[0], StringComparison.Ordinal);
        Assert.Equal(Header, lines[1]);
        Assert.All(lines.Skip(2), static l => Assert.Equal((Header.Length, "  0x"), (l.Length, l[36..40])));
        string[][] cells = [.. lines.Skip(2).Select(static l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))];
        Assert.All(cells, static c => Assert.Equal(15, c.Length));
        return cells;
    }
}
