using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

public sealed class WatermarkTests
{
    [Theory]
    [InlineData(16, 128, 160, 192)]
    [InlineData(64, 256, 320, 384)]
    [InlineData(256, 512, 640, 768)]
    [InlineData(1024, 1024, 1280, 1536)]
    [InlineData(1 << 20, 16384, 20480, 24576)]
    public void Watermarks_are_those_of_Linux(int mib, int min, int low, int high) =>
        Assert.Equal(new Watermarks(min, low, high), Watermarks.Compute((int)(((long)mib << 20) / 4096), 0));

    [Fact]
    public void Min_can_be_set_but_not_beyond_a_quarter_of_the_arena()
    {
        Assert.Equal(new Watermarks(100, 125, 150), Watermarks.Compute(4096, 100 * 4096));
        _ = Assert.Throws<ArgumentException>(static () => Watermarks.Compute(4096, 1025 * 4096));
        _ = Assert.Throws<ArgumentException>(static () => KmemSystem.Init(new KmemOptions { ArenaBytes = 16 << 20, MinFreeBytes = 8 << 20 }));
        KmemWorld.Run(static system => Assert.Equal(128, system.Watermarks.Min));
    }

    [Theory]
    [InlineData(0)]
    [InlineData((16 << 20) - 4096)]
    [InlineData(1L << 41)]
    public void An_arena_of_a_bad_size_is_refused(long bytes)
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => KmemSystem.Init(new KmemOptions { ArenaBytes = bytes }));
        Assert.Contains("16 MiB", e.Message, StringComparison.Ordinal);
        KmemWorld.Run(static system => { });
    }

    [Theory]
    [InlineData(KmFlags.NoSleep, ThreadFlags.None, 128)]
    [InlineData(KmFlags.NoSleep | KmFlags.PushPage, ThreadFlags.None, 64)]
    [InlineData(KmFlags.NoSleep | KmFlags.PushPage, ThreadFlags.SyncPath, 16)]
    [InlineData(KmFlags.NoSleep, ThreadFlags.SyncPath, 128)]
    [InlineData(KmFlags.NoSleep, ThreadFlags.Memalloc, 0)]
    [InlineData(KmFlags.NoSleep, ThreadFlags.InReclaim, 0)]
    public void Each_kind_of_caller_goes_down_to_its_own_mark(KmFlags flags, ThreadFlags marks, int expectedFree) => KmemWorld.Run(system =>
    {
        Kthread self = Kthread.Current;
        var pages = new List<int>();
        self.Flags |= marks;
        int page;
        while ((page = system.Pages.Alloc(1, Gfp.Convert(flags, system.Policy, self.Flags), self)) >= 0)
        {
            pages.Add(page);
        }

        self.Flags &= ~marks;
        Assert.Equal(expectedFree, system.Pages.FreePages);
        KmemStats stats = KmemStats.Snapshot();
        Assert.Equal(expectedFree < 128, stats.ReserveEvents > 0);
        Assert.Equal(128 - expectedFree, stats.ReservePages);
        Assert.Equal(1, stats.Failures);
        Assert.True(stats.KswapdWakes >= 1);
        pages.ForEach(p => system.Pages.Free(p, 1));
    });
}
