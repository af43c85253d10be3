using System.Text;
using Xunit;

namespace ZfsLite.Fs.Tests;

/// <summary>The hot paths allocate nothing on the GC heap once everything is cached and pooled.</summary>
[Trait("Backend", "os")]
public sealed unsafe class ZplHotPathTests
{
    [Theory]
    [InlineData("getattr")]
    [InlineData("lookup")]
    [InlineData("read")]
    [InlineData("readlink")]
    public void Cached_calls_allocate_nothing(string call)
    {
        using var p = new ZplPool(AtimeMode.On);
        ulong dir = p.MakeDir(p.RootDir, "dir");
        for (int i = 0; i < 40; i++)
        {
            p.Make(dir, "other" + i);
        }

        ulong file = p.Make(dir, "file");
        ulong link = p.Make(dir, "link", 0xA1FF, "target");
        Assert.Equal(0, p.Write(file, 0, new byte[300_000]));
        Assert.Equal(0, p.Fs.SyncFs());
        byte[] name = Encoding.UTF8.GetBytes("file");
        var buffer = new byte[131072];
        long before = 0;
        for (int i = 0; i < 300; i++)
        {
            if (i == 200)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            fixed (byte* b = buffer)
            {
                int error = call switch
                {
                    "getattr" => p.Fs.GetAttr(file, out _),
                    "lookup" => p.Fs.Lookup(dir, name, out _),
                    "read" => p.Fs.Read(file, 1000, 131072, b, out _),
                    _ => p.Fs.ReadLink(link, buffer, out _),
                };
                Check(error);
            }
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Overwriting_allocates_next_to_nothing()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "file");
        var data = new byte[131072];
        long before = 0;
        fixed (byte* b = data)
        {
            for (int i = 0; i < 400; i++)
            {
                if (i == 300)
                {
                    before = GC.GetAllocatedBytesForCurrentThread();
                }

                Check(p.Fs.Write(file, (ulong)(i % 4) * 131072, data.Length, b, ZplWriteFlags.None, out _));
            }
        }

        // A txg that opens meanwhile may cost a record or two; per write it is nothing.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4096);
    }

    /// <summary>Without xunit's own allocations.</summary>
    private static void Check(int error)
    {
        if (error != 0)
        {
            throw new InvalidOperationException($"error {error}");
        }
    }
}
