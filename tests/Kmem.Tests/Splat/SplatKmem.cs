using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Tests;

namespace ZfsLite.Tests.Splat;

/// <summary>splat kmem, 0x0101 to 0x010d. Where splat takes a share of the machine's memory, a share of the arena is meant.</summary>
public sealed unsafe partial class SplatKmem
{
    private const int PageSize = KmemStats.PageSize;
    private const int AllocCount = 10;

    /// <summary>kmem_alloc of 4 KiB, doubled up to spl_kmem_alloc_warn (64 KiB), ten at a time; not one is warned of.
    /// Arena: 16 MiB.</summary>
    [Fact]
    public void T0101_kmem_alloc() => KmemWorld.Run(
        static system => Doubling(system, system.Options.AllocWarnBytes, KmemAllocator.Alloc, KmemAllocator.Free, false),
        KmemWorld.Options());

    /// <summary>kmem_zalloc of the same sizes: every byte is zero, though memory was full of junk. Arena: 16 MiB.</summary>
    [Fact]
    public void T0102_kmem_zalloc() => KmemWorld.Run(
        static system => Doubling(system, system.Options.AllocWarnBytes, KmemAllocator.Zalloc, KmemAllocator.Free, true),
        KmemWorld.Options(poison: true));

    /// <summary>vmem_alloc of 4 KiB, doubled up to four times spl_kmem_alloc_max (4 MiB), ten at a time. Arena: 64 MiB.</summary>
    [Fact]
    public void T0103_vmem_alloc() => KmemWorld.Run(
        static system => Doubling(system, 4 * system.Options.AllocMaxBytes, KmemAllocator.VmemAlloc, KmemAllocator.VmemFree, false),
        KmemWorld.Options(arena: 64 << 20));

    /// <summary>vmem_zalloc of the same sizes: every byte is zero, though memory was full of junk. Arena: 64 MiB.</summary>
    [Fact]
    public void T0104_vmem_zalloc() => KmemWorld.Run(
        static system => Doubling(system, 4 * system.Options.AllocMaxBytes, KmemAllocator.VmemZalloc, KmemAllocator.VmemFree, true),
        KmemWorld.Options(arena: 64 << 20, poison: true));

    private static void Doubling(KmemSystem system, long sizeMax, Allocate allocate, Release release, bool isZeroed)
    {
        var live = new nint[AllocCount];
        long size = PageSize;
        for (; size <= sizeMax; size *= 2)
        {
            long before = BytesOut(system, size);
            for (int i = 0; i < AllocCount; i++)
            {
                byte* p = allocate(size, KmFlags.Sleep);
                Assert.True(p != null, $"{size} bytes are refused");
                var bytes = new Span<byte>(p, (int)size);
                Assert.False(isZeroed && bytes.ContainsAnyExcept((byte)0));
                bytes.Fill((byte)(i + 1));
                live[i] = (nint)p;
            }

            Assert.Equal(AllocCount * size, BytesOut(system, size) - before);
            for (int i = 0; i < AllocCount; i++)
            {
                Assert.False(new Span<byte>((byte*)live[i], (int)size).ContainsAnyExcept((byte)(i + 1)));
                release((byte*)live[i], size);
            }

            Assert.Equal(before, BytesOut(system, size));
        }

        Assert.Equal(2 * sizeMax, size);
        Assert.Equal(0, KmemStats.Of(system).LargeAllocs);
    }

    /// <summary>Bytes that allocations of this size have out: those of a kmalloc cache, or those taken straight from pages.</summary>
    private static long BytesOut(KmemSystem system, long size) =>
        size <= KmallocCaches.MaxSize ? system.Kmalloc.For(size).Statistics().ObjectsAllocated * size : system.LargeBytes;

    private delegate byte* Allocate(long size, KmFlags flags);

    private delegate void Release(byte* p, long size);
}
