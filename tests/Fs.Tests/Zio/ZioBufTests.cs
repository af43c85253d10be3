using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

public sealed unsafe class ZioBufTests
{
    [Fact]
    public void Every_size_has_a_class_that_wastes_less_than_a_quarter_or_a_page()
    {
        var classes = new HashSet<int>();
        for (int size = 512; size <= ZioBuf.MaxSize; size += 512)
        {
            int c = ZioBuf.ClassSize(size);
            Assert.True(c >= size && c <= ZioBuf.MaxSize && c % 512 == 0);
            Assert.True(size <= 4096 ? c == size : size <= 8192 ? c == 8192 : c - size < Math.Max(4096, c / 4), $"{size} -> {c}");
            Assert.Equal(c, ZioBuf.ClassSize(c));
            _ = classes.Add(c);
        }

        Assert.InRange(classes.Count, 20, 32);
        Assert.Contains(131072, classes);
        Assert.Contains(16384, classes);
    }

    [Fact]
    public void Buffers_come_from_named_caches_and_go_back()
    {
        using var kmem = new KmemScope(64 << 20);
        byte* b = ZioBuf.Alloc(131072, KmFlags.Sleep);
        b[131071] = 1;
        Assert.Equal("zio_buf_131072", ZioBuf.CacheFor(131072).Name);
        Assert.Same(ZioBuf.CacheFor(512), ZioBuf.CacheFor(1));
        ZioBuf.Free(b, 131072);
        _ = Assert.Throws<InvalidOperationException>(() => { _ = ZioBuf.Alloc(131073, KmFlags.Sleep); });
        _ = Assert.Throws<InvalidOperationException>(() => { _ = ZioBuf.Alloc(0, KmFlags.Sleep); });
    }
}
