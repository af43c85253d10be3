using FsCheck;
using FsCheck.Fluent;
using Xunit;
using ZfsLite.Cli;
using ZfsLite.Fs;
using ZfsLite.Kmem;

namespace ZfsLite.Tests.Mount;

public sealed class CliMountOptionsTests
{
    private static readonly string[] s_words =
    [
        "ro", "rw", "allow_other", "default_permissions", "atime", "relatime", "noatime", "dev", "nodev", "suid", "nosuid",
        "exec", "noexec", "defaults", "nofail", "x-systemd.automount", "dataset=fs@s",
    ];

    [Fact]
    public void Later_words_win_as_in_mount()
    {
        MountOptions options = MountOptions.Parse(["ro,atime,dev", "rw,noatime,nodev"]);
        Assert.False(options.ReadOnly);
        Assert.True(options.ReadOnlyGiven);
        Assert.Equal(AtimeMode.Off, options.Atime);
        Assert.False(options.Dev);
    }

    [Fact]
    public void What_is_not_named_stays_unset()
    {
        MountOptions options = MountOptions.Parse(["defaults,nofail"]);
        Assert.Equal("", options.ToString());
        Assert.Null(options.Atime);
        Assert.False(options.ReadOnlyGiven);
    }

    [Fact]
    public void Any_list_of_known_words_survives_being_written_and_read_again()
    {
        Gen<string[]> lists = Gen.Elements(s_words).ArrayOf();
        Prop.ForAll(lists.ToArbitrary(), words =>
        {
            MountOptions first = MountOptions.Parse([string.Join(',', words)]);
            MountOptions second = MountOptions.Parse([first.ToString()]);
            return first.ToString() == second.ToString() && first.ReadOnly == second.ReadOnly
                && first.Atime == second.Atime && first.Dataset == second.Dataset && first.Dev == second.Dev;
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Fstab_words_reach_the_settings()
    {
        MountSettings settings = MountCommand.Settings(
            ["/p.img", "/mnt/x"], MountOptions.Parse(["memory=64M,policy=none,torture_reclaim=7"]), null, null, null, true, false, null);
        Assert.Equal(64L << 20, settings.MemoryBytes);
        Assert.Equal(KmemPolicy.None, settings.Policy);
        Assert.Equal(7, settings.TortureReclaim);
    }

    [Fact]
    public void The_daemon_is_started_with_the_same_settings()
    {
        MountSettings settings = MountCommand.Settings(
            ["/p.img", "/mnt/x"], MountOptions.Parse(["ro,noatime,dataset=a/b"]), "32M", "none", 3, true, true, "/tmp/d.svg", slabEngine: "slubq", splSlabLimit: 512);
        Assert.Equal(
            ["mount", "/p.img", "/mnt/x", "--memory", "33554432", "--policy", "none", "--torture-reclaim", "3", "--slab-engine", "slubq", "--spl-slab-limit", "512", "-o", "ro,noatime,dataset=a/b", "-d", "--deadlock-svg", "/tmp/d.svg"],
            settings.DaemonArguments());
    }

    [Fact]
    public void A_slab_engine_is_chosen_by_name_and_handed_on()
    {
        MountSettings settings = Settings("spl");
        Assert.Equal(SlabEngineKind.Spl, settings.SlabEngine);
        Assert.Contains("--slab-engine spl --spl-slab-limit 4096", string.Join(' ', settings.DaemonArguments()), StringComparison.Ordinal);
        Assert.Equal(SlabEngineKind.Slubq, Settings("slubq").SlabEngine);
        CliException e = Assert.Throws<CliException>(() => Settings("slob"));
        Assert.Contains("slubq, spl", e.Message, StringComparison.Ordinal);

        static MountSettings Settings(string engine) => MountCommand.Settings(
            ["/p.img", "/mnt/x"], MountOptions.Parse([]), null, null, null, true, false, null, slabEngine: engine, splSlabLimit: 4096);
    }

    [Fact]
    public void Every_policy_is_described_by_name_year_and_what_it_loses_to()
    {
        IReadOnlyList<PolicyRow> rows = KmemPoliciesCommand.Rows();
        Assert.Equal(["none", "pushpage", "emergency", "txcookie", "fstrans"], rows.Select(static r => r.Policy));
        Assert.Equal(rows.Select(static r => r.Year).Order(), rows.Select(static r => r.Year));
        Assert.All(rows, static r => Assert.All(new[] { r.Source, r.TurnsOn, r.LosesTo }, static t => Assert.True(t.Length > 10)));
        var output = new StringWriter();
        Assert.Equal(0, CommandLine.Run(["kmem", "policies"], output, output));
        Assert.All(rows, r => Assert.Contains($"{r.Policy} ({r.Year})", output.ToString(), StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("/dev/sdb1 /mnt -o rw,noatime", "/dev/sdb1 /mnt", "rw,noatime", false)]
    [InlineData("pool.img /mnt -n -o ro -t fuse.zfslite", "pool.img /mnt", "ro", false)]
    [InlineData("pool.img /mnt -sfnv -o a -o b", "pool.img /mnt", "a b", true)]
    [InlineData("/mnt -l -N 7", "/mnt", "", false)]
    public void The_words_that_mount_passes_to_its_helper_are_understood(string words, string paths, string options, bool fake)
    {
        (List<string> p, List<string> o, bool f) = HelperCommands.ParseMountWords(words.Split(' '));
        Assert.Equal(paths, string.Join(' ', p));
        Assert.Equal(options, string.Join(' ', o));
        Assert.Equal(fake, f);
    }

    [Fact]
    public void What_mount_adds_from_the_mount_table_on_a_remount_is_no_wish()
    {
        string[] words = ["ro,nosuid,nodev,relatime,remount,user_id=0,group_id=0,default_permissions,allow_other,max_read=524288"];
        MountOptions options = MountOptions.Parse(HelperCommands.WithoutTableDefaults(words));
        Assert.True(options.Remount && options.ReadOnly);
        Assert.Null(options.Atime);
        Assert.Equal(AtimeMode.Relatime, MountOptions.Parse(HelperCommands.WithoutTableDefaults(["relatime"])).Atime);
    }

    [Theory]
    [InlineData("/mnt/a\\040b", "/mnt/a b")]
    [InlineData("/plain", "/plain")]
    [InlineData("tab\\011", "tab\t")]
    public void Escapes_of_mountinfo_are_undone(string field, string path) => Assert.Equal(path, MountPoint.Unescape(field));
}
