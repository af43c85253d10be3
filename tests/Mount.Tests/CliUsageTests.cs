using Xunit;
using ZfsLite.Cli;

namespace ZfsLite.Tests.Mount;

/// <summary>Wrong use: one line that says what is wrong and what to type, the right exit code, and nothing else.</summary>
public sealed class CliUsageTests
{
    [Theory]
    [InlineData("", 2, "no command given; type: zfslite --help")]
    [InlineData("creat p f", 2, "there is no command 'creat'")]
    [InlineData("create", 2, "create: no POOL given; type: zfslite create POOL")]
    [InlineData("create p", 2, "create: no DEVICE given")]
    [InlineData("create 1p f", 2, "'1p' is not a pool name")]
    [InlineData("create mirror f", 2, "'mirror' is reserved")]
    [InlineData("create c0 f", 2, "'c0' is reserved")]
    [InlineData("create p/q f", 2, "'p/q' is not a pool name")]
    [InlineData("create p f --size 1Q", 2, "'1Q' is not a size")]
    [InlineData("create p f --size -5", 2, "'-5' is not a size")]
    [InlineData("create p f --size", 2, "--size needs a value")]
    [InlineData("create p f --ashift 10", 2, "--ashift is 9 or 12, not 10")]
    [InlineData("create p f --ashift x", 2, "--ashift takes a whole number, not 'x'")]
    [InlineData("create p f -o compression", 2, "'compression' is not property=value")]
    [InlineData("create p f -o compression=best", 2, "'best' is not a value of compression; allowed: on, off, lzjb")]
    [InlineData("create p f -o dedup=on", 2, "unknown property 'dedup'; known: atime, compression")]
    [InlineData("create p f --frob", 2, "unknown option '--frob'")]
    [InlineData("create p f g", 1, "/f does not exist; to make a file of that name, add --size 1G")]
    [InlineData("mount", 2, "mount: no device given; type: zfslite mount DEVICE... DIR")]
    [InlineData("mount f", 2, "mount: no directory given")]
    [InlineData("mount f /nonexistent/dir", 1, "the directory /nonexistent/dir does not exist; type: mkdir -p /nonexistent/dir")]
    [InlineData("mount f /proc", 1, "/proc is already a mount point (proc from proc)")]
    [InlineData("mount f /etc/passwd", 1, "/etc/passwd is not a directory")]
    [InlineData("mount f /tmp --memory 8M", 2, "an arena of 8M is too small; type: --memory 16M or more")]
    [InlineData("mount f /tmp --memory many", 2, "'many' is not a size")]
    [InlineData("mount f /tmp --policy hope", 2, "there is no policy 'hope'; type: --policy none, pushpage, emergency, txcookie, fstrans")]
    [InlineData("mount f /tmp --torture-reclaim -1", 2, "--torture-reclaim")]
    [InlineData("mount f /tmp --slab-engine slob", 2, "there is no slab engine 'slob'; type: --slab-engine slubq, spl")]
    [InlineData("mount f /tmp --slab-engine spl --spl-slab-limit -1", 2, "--spl-slab-limit is a number of bytes from 0 up")]
    [InlineData("mount f /tmp --slab-engine spl --spl-slab-limit many", 2, "--spl-slab-limit takes a whole number, not 'many'")]
    [InlineData("mount f /tmp -o ro,frob", 2, "unknown mount option 'frob'; known: ro,rw,")]
    [InlineData("mount f /tmp -o frob=1", 2, "unknown mount option 'frob=1'")]
    [InlineData("mount f /tmp -o dataset=", 2, "mount option 'dataset=' has no value")]
    [InlineData("mount f /tmp -o memory=x", 2, "mount option 'memory=x' needs a size")]
    [InlineData("mount /tmp -o remount,ro", 1, "nothing is mounted by zfslite on /tmp")]
    [InlineData("unmount", 2, "unmount: no DIR given; type: zfslite unmount DIR")]
    [InlineData("unmount /proc", 1, "/proc is a proc mount, not one of zfslite; type: umount /proc")]
    [InlineData("unmount /nonexistent", 1, "/nonexistent is not mounted by zfslite")]
    [InlineData("sync", 1, "no pool is mounted by zfslite; mount one: zfslite mount")]
    [InlineData("sync nopool", 1, "nopool is not a pool or directory that zfslite has mounted")]
    [InlineData("status nopool", 1, "nopool is neither a mounted pool or directory nor a device")]
    [InlineData("list --all", 2, "unknown option '--all'")]
    [InlineData("get", 2, "get: no pool given; type: zfslite get")]
    [InlineData("set", 2, "set: no pool given; type: zfslite set")]
    [InlineData("set p", 2, "set: no property=value given")]
    [InlineData("set p atime", 2, "set: 'atime' is not property=value")]
    [InlineData("set p atime=maybe", 2, "'maybe' is not a value of atime; allowed: on, off")]
    [InlineData("set p recordsize=3K", 2, "'3K' is not a value of recordsize")]
    [InlineData("kmem slab", 1, "no pool is mounted by zfslite; mount one: zfslite mount")]
    [InlineData("kmem slab nopool", 1, "nopool is not a pool or directory that zfslite has mounted")]
    [InlineData("kmem slab --frob", 2, "unknown option '--frob'")]
    [InlineData("kmem", 2, "kmem: no pool given; type: zfslite kmem")]
    [InlineData("txgs", 2, "txgs: no pool given")]
    [InlineData("check", 2, "check: no DEVICE given; type: zfslite check DEVICE")]
    [InlineData("import", 2, "import: no directory given; type: zfslite import --list DIR")]
    [InlineData("import --list /nonexistent", 1, "the directory /nonexistent does not exist")]
    public void Wrong_use_gives_one_line_that_says_what_to_type(string commandLine, int exitCode, string expected)
    {
        using var directory = new CliRunDirectory();
        CliResult result = directory.Run(commandLine.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(exitCode, result.ExitCode);
        Assert.StartsWith("zfslite: ", result.Error, StringComparison.Ordinal);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
        Assert.Empty(result.Output);
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("create --help")]
    [InlineData("mount -h")]
    [InlineData("unmount --help")]
    [InlineData("check --help")]
    [InlineData("--version")]
    public void Help_is_no_error(string commandLine)
    {
        using var directory = new CliRunDirectory();
        CliResult result = directory.Run(commandLine.Split(' '));
        Assert.Equal(0, result.ExitCode);
        Assert.NotEmpty(result.Output);
        Assert.Empty(result.Error);
    }

    [Fact]
    public void Every_command_of_the_reference_is_there_and_has_a_usage_line()
    {
        using var directory = new CliRunDirectory();
        string help = directory.Run(["--help"]).Output;
        foreach (string name in new[] { "create", "mount", "unmount", "sync", "status", "list", "get", "set", "kmem", "txgs", "check", "import" })
        {
            Assert.Contains($"{name} ", help, StringComparison.Ordinal);
            Assert.StartsWith($"zfslite {name}", CommandLine.UsageOf(name), StringComparison.Ordinal);
        }

        Assert.DoesNotContain("helper", help, StringComparison.Ordinal);
    }

    [Fact]
    public void With_nothing_mounted_status_and_list_say_so()
    {
        using var directory = new CliRunDirectory();
        Assert.Equal("no pool is mounted", directory.Run(["status"]).Output.Trim());
        Assert.Equal("[]", directory.Run(["status", "--json"]).Output.Trim());
        Assert.Equal("[]", directory.Run(["list", "--json"]).Output.Trim());
    }
}
