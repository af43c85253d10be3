using System.Security.Cryptography;
using System.Text.Json;
using Xunit;
using ZfsLite.Fs;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>
/// Commands on a pool that is not mounted, each as a process of its own, and what they say to images that are no pools, or
/// damaged ones: one line, exit code 1, and the image as it was.
/// </summary>
public sealed class CliPoolTests : IDisposable
{
    private readonly CliRunDirectory _directory = new();
    private readonly string _image;

    public CliPoolTests() => _image = _directory.File("p.img");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_created_pool_is_listed_shown_and_judged_clean()
    {
        Create("-o", "compression=gzip", "-o", "recordsize=4096", "-o", "copies=2");
        Assert.Equal("tank", Json(["import", "--list", _directory.Root, "--json"])[0].GetProperty("pool").GetString());
        JsonElement status = Json(["status", _image, "--json"])[0];
        Assert.Equal(23, status.GetProperty("version").GetInt32());
        Assert.Equal(_image, status.GetProperty("devices")[0].GetString());
        Assert.Equal("tank", Json(["list", _image, "--json"])[0].GetProperty("name").GetString());
        Assert.Equal("gzip", Property("compression").Value);
        Assert.Equal("4K", Property("recordsize").Value);
        Assert.Equal(("2", "local"), Property("copies"));
        Assert.Equal(("on", "default"), Property("atime"));
        ZdbIsContent();
    }

    [Theory]
    [InlineData("9")]
    [InlineData("12")]
    public void Both_block_sizes_can_be_created(string ashift)
    {
        Create("--ashift", ashift);
        ZdbIsContent();
    }

    [Fact]
    public void A_property_set_on_an_unmounted_pool_stays()
    {
        Create();
        Assert.Equal("", Ok(["set", _image, "atime=off", "compression=lzjb", "checksum=sha256", "recordsize=16K", "copies=3"]));
        Assert.Equal(("off", "local"), Property("atime"));
        Assert.Equal(("lzjb", "local"), Property("compression"));
        Assert.Equal(("sha256", "local"), Property("checksum"));
        Assert.Equal(("16K", "local"), Property("recordsize"));
        Assert.Equal(("3", "local"), Property("copies"));
        ZdbIsContent();
    }

    [Fact]
    public void Get_of_an_unknown_property_or_dataset_is_refused()
    {
        Create();
        Refused(["get", _image, "speed"], "unknown property 'speed'");
        Refused(["get", _image, "--dataset", "nofs"], "tank/nofs");
        Refused(["set", _image, "--dataset", "nofs", "atime=off"], "tank/nofs");
    }

    [Fact]
    public void Create_does_not_overwrite_a_pool()
    {
        Create();
        RefusedUnchanged(["create", "other", _image], $"holds the pool 'tank'; if it may be lost, type: rm {_image}");
    }

    [Fact]
    public void Create_needs_64_MiB_and_leaves_no_file_behind()
    {
        Refused(["create", "tank", _image, "--size", "63M"], "too small for a pool; 64M is the least");
        Assert.False(File.Exists(_image));
        File.WriteAllBytes(_image, new byte[1 << 20]);
        RefusedUnchanged(["create", "tank", _image], "too small for a pool");
    }

    [Fact]
    public void Create_without_size_needs_a_file() => Refused(["create", "tank", _image], "does not exist; to make a file of that name, add --size 1G");

    [Fact]
    public void Create_in_a_missing_directory_says_so() =>
        Refused(["create", "tank", _directory.File("no/p.img"), "--size", "64M"], "cannot make");

    [Fact]
    public void Create_on_a_directory_is_refused() => Refused(["create", "tank", _directory.Root], "neither a file nor a block device");

    [Fact]
    public void Create_does_not_resize_a_file()
    {
        File.WriteAllBytes(_image, new byte[1 << 20]);
        RefusedUnchanged(["create", "tank", _image, "--size", "64M"], "exists already, with 1M; leave --size out");
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public void A_file_that_is_no_pool_is_named(string[] command)
    {
        File.WriteAllBytes(_image, RandomNumberGenerator.GetBytes(2 << 20));
        RefusedUnchanged(With(command, _image), "not a ZFS pool");
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public void An_empty_file_is_no_pool(string[] command)
    {
        File.WriteAllBytes(_image, []);
        RefusedUnchanged(With(command, _image), "not a ZFS pool");
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public void A_truncated_image_is_refused(string[] command)
    {
        Create();
        using (FileStream file = File.OpenWrite(_image))
        {
            file.SetLength(40 << 20);
        }

        RefusedUnchanged(With(command, _image), "");
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public void A_pool_of_a_newer_version_is_refused_by_its_number(string[] command)
    {
        Create();
        Relabel(static label => label.Set("version", 28UL));
        RefusedUnchanged(With(command, _image), "version 28");
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public void A_raidz_pool_is_refused_by_name(string[] command)
    {
        Create();
        Relabel(static label => label.GetNvlist("vdev_tree")!.Set("type", "raidz"));
        RefusedUnchanged(With(command, _image), "raidz");
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public void With_all_labels_flipped_it_is_no_pool(string[] command)
    {
        Create();
        FlipLabels(0, 1, 2, 3);
        RefusedUnchanged(With(command, _image), "not a ZFS pool");
    }

    [Fact]
    public void One_whole_label_is_enough()
    {
        Create();
        FlipLabels(0, 1, 2);
        Assert.Contains("tank", Ok(["status", _image]), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public void A_pool_that_another_process_has_is_refused(string[] command)
    {
        Create();
        byte[] before = Sha();
        using (FileVdevIo.Open(_image, readOnly: false))
        {
            Refused(With(command, _image), "in use by another process");
        }

        Assert.Equal(before, Sha());
    }

    [Fact]
    public void Import_finds_pools_among_other_files_and_skips_what_is_none()
    {
        Create();
        File.WriteAllText(_directory.File("readme"), "no pool");
        File.WriteAllBytes(_directory.File("noise"), RandomNumberGenerator.GetBytes(1 << 20));
        File.CreateSymbolicLink(_directory.File("dangling"), "/nonexistent");
        Assert.Equal(0, _directory.Start("mkfifo", [_directory.File("fifo")]).ExitCode);
        JsonElement found = Json(["import", "--list", _directory.Root, "--json"]);
        Assert.Equal(1, found.GetArrayLength());
        Assert.Equal("exported", found[0].GetProperty("state").GetString());
    }

    [GoldenFact("goldmini")]
    public void A_pool_of_another_implementation_is_read_and_not_changed()
    {
        File.WriteAllBytes(_image, Gunzip("goldmini", "m.img.gz"));
        byte[] before = Sha();
        Assert.Contains("goldmini", Ok(["list", _image]), StringComparison.Ordinal);
        Assert.Contains("exported", Ok(["import", "--list", _directory.Root]), StringComparison.Ordinal);
        Assert.Equal(before, Sha());
    }

    public static TheoryData<string[]> Readers() => new()
    {
        new[] { "status", "DEVICE" },
        new[] { "list", "DEVICE" },
        new[] { "get", "DEVICE" },
        new[] { "set", "DEVICE", "atime=off" },
    };

    private static string[] With(string[] command, string device) => [.. command.Select(w => w == "DEVICE" ? device : w)];

    private static byte[] Gunzip(string pool, string image)
    {
        using var gz = new System.IO.Compression.GZipStream(
            File.OpenRead(Path.Combine(GoldenPools.Folder(pool), image)), System.IO.Compression.CompressionMode.Decompress);
        var bytes = new MemoryStream();
        gz.CopyTo(bytes);
        return bytes.ToArray();
    }

    private void Create(params string[] more) => Ok(["create", "tank", _image, "--size", "64M", .. more]);

    private string Ok(string[] args)
    {
        CliResult result = _directory.RunProcess(args);
        Assert.Equal("", result.Error);
        Assert.Equal(0, result.ExitCode);
        return result.Output;
    }

    private JsonElement Json(string[] args) => JsonDocument.Parse(Ok(args)).RootElement;

    private (string Value, string Source) Property(string name)
    {
        JsonElement row = Json(["get", _image, name, "--json"])[0];
        return (row.GetProperty("value").GetString()!, row.GetProperty("source").GetString()!);
    }

    private void Refused(string[] args, string expected)
    {
        CliResult result = _directory.RunProcess(args);
        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith("zfslite: ", result.Error, StringComparison.Ordinal);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("internal error", result.Error, StringComparison.Ordinal);
    }

    private void RefusedUnchanged(string[] args, string expected)
    {
        byte[] before = Sha();
        Refused(args, expected);
        Assert.Equal(before, Sha());
    }

    private byte[] Sha()
    {
        using FileStream file = new(_image, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        return SHA256.HashData(file);
    }

    private void Relabel(Func<Nvlist, Nvlist> change)
    {
        TestMemory.Ensure();
        using FileVdevIo io = FileVdevIo.Open(_image, readOnly: false);
        Nvlist label = VdevLabel.Scan(io).ConfigList!;
        _ = change(label);
        Assert.Equal(0, VdevLabel.WriteConfig(io, 0, label));
        Assert.Equal(0, VdevLabel.WriteConfig(io, 1, label));
    }

    private void FlipLabels(params int[] labels)
    {
        using FileStream file = File.Open(_image, FileMode.Open);
        foreach (int label in labels)
        {
            file.Position = VdevLabel.OffsetOf(label, file.Length) + VdevLabel.ConfigOffset + 200;
            int old = file.ReadByte();
            file.Position--;
            file.WriteByte((byte)~old);
        }
    }

    private void ZdbIsContent()
    {
        if (ZfsFuseTools.Missing is null)
        {
            (int code, string output) = ZfsFuseTools.ZdbCheck(_directory.Root, "tank");
            Assert.True(code == 0 && output.Contains("No leaks", StringComparison.Ordinal), output);
        }
    }
}
