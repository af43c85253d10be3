using Xunit;

namespace ZfsLite.Fs.Tests;

/// <summary>Rename, over every kind of target, within a directory and across.</summary>
[Trait("Backend", "os")]
public sealed class ZplRenameTests
{
    private const uint NoReplace = 1;
    private const uint Exchange = 2;

    public static TheoryData<string, string, bool, uint, int> Matrix
    {
        get
        {
            var data = new TheoryData<string, string, bool, uint, int>();
            foreach (bool across in (bool[])[false, true])
            {
                foreach (string source in (string[])["file", "dir", "link", "none"])
                {
                    foreach (string target in (string[])["none", "file", "empty", "full", "link"])
                    {
                        foreach (uint flags in (uint[])[0, NoReplace, Exchange])
                        {
                            data.Add(source, target, across, flags, Expected(source, target, flags));
                        }
                    }
                }
            }

            return data;
        }
    }

    [Fact]
    public void The_matrix_of_kinds_holds()
    {
        using var p = new ZplPool();
        int round = 0;
        foreach (object[] row in Matrix)
        {
            (string source, string target, bool across, uint flags, int expected) = ((string)row[0], (string)row[1], (bool)row[2], (uint)row[3], (int)row[4]);
            ulong home = p.MakeDir(p.RootDir, $"r{round++}");
            ulong from = p.MakeDir(home, "from");
            ulong to = across ? p.MakeDir(home, "to") : from;
            ulong s = MakeKind(p, from, "s", source);
            ulong t = MakeKind(p, to, "t", target);
            uint fromLinks = p.Stat(from).Links;
            uint toLinks = p.Stat(to).Links;
            string what = $"{source} over {target}, across {across}, flags {flags}";
            Assert.True(expected == p.Rename(from, "s", to, "t", flags), what);
            if (expected != 0)
            {
                Assert.Equal(s == 0 ? Errno.ENOENT : 0, p.Lookup(from, "s"));
                Assert.Equal(t == 0 ? Errno.ENOENT : 0, p.Lookup(to, "t"));
                Assert.Equal((fromLinks, toLinks), (p.Stat(from).Links, p.Stat(to).Links));
                continue;
            }

            Assert.Equal(s, p.Find(to, "t"));
            bool sourceIsDir = source == "dir";
            if (flags == Exchange)
            {
                Assert.Equal(t, p.Find(from, "s"));
            }
            else
            {
                Assert.Equal(Errno.ENOENT, p.Lookup(from, "s"));
                Assert.Equal(t == 0 ? 0 : Errno.ESTALE, t == 0 ? 0 : p.Fs.GetAttr(t, out _));
            }

            if (sourceIsDir)
            {
                Assert.Equal(to, p.Find(s, ".."));
            }

            int subdirs = p.List(from).Count(n => ZIsDir(p, p.Find(from, n)));
            Assert.Equal((2U + (uint)subdirs, (ulong)p.List(from).Count + 2), (p.Stat(from).Links, p.Stat(from).Size));
            subdirs = p.List(to).Count(n => ZIsDir(p, p.Find(to, n)));
            Assert.Equal((2U + (uint)subdirs, (ulong)p.List(to).Count + 2), (p.Stat(to).Links, p.Stat(to).Size));
        }

        p.Judge();
    }

    [Fact]
    public void A_directory_never_goes_below_itself()
    {
        using var p = new ZplPool();
        ulong a = p.MakeDir(p.RootDir, "a");
        ulong b = p.MakeDir(a, "b");
        ulong c = p.MakeDir(b, "c");
        Assert.Equal(Errno.EINVAL, p.Rename(p.RootDir, "a", a, "x"));
        Assert.Equal(Errno.EINVAL, p.Rename(p.RootDir, "a", c, "x"));
        Assert.Equal(Errno.EINVAL, p.Rename(b, "c", p.RootDir, "a", Exchange));
        Assert.Equal(Errno.ENOTEMPTY, p.Rename(b, "c", p.RootDir, "a"));
        Assert.Equal(0, p.Rename(b, "c", p.RootDir, "c"));
        Assert.Equal(0, p.Rename(p.RootDir, "a", c, "a"));
        Assert.Equal(c, p.Find(a, ".."));
        Assert.Equal(b, p.Find(p.Find(p.Find(p.RootDir, "c"), "a"), "b"));
    }

    [Fact]
    public void Two_names_of_one_file_are_left_alone()
    {
        using var p = new ZplPool();
        ulong f = p.Make(p.RootDir, "a");
        Assert.Equal(0, p.Link(f, p.RootDir, "b"));
        Assert.Equal(0, p.Rename(p.RootDir, "a", p.RootDir, "b"));
        Assert.Equal(["a", "b"], p.List(p.RootDir));
        Assert.Equal(0, p.Rename(p.RootDir, "a", p.RootDir, "a"));
        Assert.Equal(Errno.EEXIST, p.Rename(p.RootDir, "a", p.RootDir, "b", NoReplace));
    }

    [Fact]
    public void Dots_and_unknown_flags_are_refused()
    {
        using var p = new ZplPool();
        p.MakeDir(p.RootDir, "d");
        Assert.Equal(Errno.EBUSY, p.Rename(p.RootDir, ".", p.RootDir, "x"));
        Assert.Equal(Errno.EBUSY, p.Rename(p.RootDir, "d", p.RootDir, ".."));
        Assert.Equal(Errno.EINVAL, p.Rename(p.RootDir, "d", p.RootDir, "x", 4));
        Assert.Equal(Errno.EINVAL, p.Rename(p.RootDir, "d", p.RootDir, "x", NoReplace | Exchange));
        Assert.Equal(Errno.ENAMETOOLONG, p.Rename(p.RootDir, "d", p.RootDir, new string('x', 256)));
    }

    private static int Expected(string source, string target, uint flags)
    {
        if (source == "none")
        {
            return Errno.ENOENT;
        }

        if (flags == Exchange)
        {
            return target == "none" ? Errno.ENOENT : 0;
        }

        if (target == "none")
        {
            return 0;
        }

        if (flags == NoReplace)
        {
            return Errno.EEXIST;
        }

        bool targetIsDir = target is "empty" or "full";
        if (source == "dir")
        {
            return !targetIsDir ? Errno.ENOTDIR : target == "full" ? Errno.ENOTEMPTY : 0;
        }

        return targetIsDir ? Errno.EISDIR : 0;
    }

    private static ulong MakeKind(ZplPool p, ulong dir, string name, string kind)
    {
        switch (kind)
        {
            case "file":
                return p.Make(dir, name);
            case "link":
                return p.Make(dir, name, 0xA1FF, "target");
            case "none":
                return 0;
            default:
                ulong d = p.MakeDir(dir, name);
                if (kind == "full")
                {
                    p.Make(d, "inside");
                }

                return d;
        }
    }

    private static bool ZIsDir(ZplPool p, ulong obj) => (p.Stat(obj).Mode & 0xF000) == 0x4000;
}
