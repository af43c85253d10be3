using System.Text;
using Xunit;

namespace ZfsLite.Fs.Tests;

/// <summary>The calls of the ZPL one by one, on a pool in memory.</summary>
public sealed class ZplBasicTests
{
    [Fact]
    public void What_is_written_is_there_after_a_remount()
    {
        using var p = new ZplPool();
        ulong dir = p.MakeDir(p.RootDir, "dir");
        ulong file = p.Make(dir, "file");
        byte[] data = RandomBytes(1, 300_000);
        Assert.Equal(0, p.Write(file, 0, data));
        Assert.Equal(data, p.Read(file));
        ulong link = p.Make(dir, "sym", 0xA1FF, "file");
        ulong longLink = p.Make(dir, "long", 0xA1FF, new string('t', 57));
        p.Judge();
        Assert.Equal(["dir"], p.List(p.RootDir));
        Assert.Equal(["file", "long", "sym"], p.List(dir));
        Assert.Equal(file, p.Find(p.Find(p.RootDir, "dir"), "file"));
        Assert.Equal(data, p.Read(file));
        Assert.Equal("file", p.ReadLink(link));
        Assert.Equal(new string('t', 57), p.ReadLink(longLink));
        ZnodeAttr root = p.Stat(p.RootDir);
        Assert.Equal((3UL, 3U), (root.Size, root.Links));
    }

    internal static byte[] RandomBytes(int seed, int length)
    {
        var data = new byte[length];
        new Random(seed).NextBytes(data);
        return data;
    }
}
