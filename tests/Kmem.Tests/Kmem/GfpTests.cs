using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

public sealed class GfpTests
{
    private const GfpMask NoIoFs = GfpMask.DirectReclaim | GfpMask.KswapdReclaim;

    [Theory]
    [InlineData(KmemPolicy.None, KmFlags.Sleep, false, GfpMask.Kernel)]
    [InlineData(KmemPolicy.None, KmFlags.Sleep, true, GfpMask.Kernel)]
    [InlineData(KmemPolicy.None, KmFlags.PushPage, false, NoIoFs | GfpMask.High)]
    [InlineData(KmemPolicy.None, KmFlags.NoSleep, false, GfpMask.KswapdReclaim | GfpMask.High)]
    [InlineData(KmemPolicy.TxCookie, KmFlags.Sleep, false, GfpMask.Kernel)]
    [InlineData(KmemPolicy.TxCookie, KmFlags.Sleep, true, NoIoFs | GfpMask.High)]
    [InlineData(KmemPolicy.TxCookie, KmFlags.PushPage, false, NoIoFs | GfpMask.High)]
    [InlineData(KmemPolicy.TxCookie, KmFlags.NoSleep, true, GfpMask.KswapdReclaim | GfpMask.High)]
    [InlineData(KmemPolicy.Fstrans, KmFlags.Sleep, false, GfpMask.Kernel)]
    [InlineData(KmemPolicy.Fstrans, KmFlags.Sleep, true, NoIoFs)]
    [InlineData(KmemPolicy.Fstrans, KmFlags.PushPage, false, GfpMask.Kernel | GfpMask.High)]
    [InlineData(KmemPolicy.Fstrans, KmFlags.PushPage, true, NoIoFs | GfpMask.High)]
    [InlineData(KmemPolicy.Fstrans, KmFlags.NoSleep, false, GfpMask.KswapdReclaim)]
    [InlineData(KmemPolicy.Fstrans, KmFlags.NoSleep | KmFlags.PushPage, true, GfpMask.KswapdReclaim | GfpMask.High)]
    public void Flags_become_the_mask_that_the_policy_says(KmemPolicy policy, KmFlags flags, bool marked, GfpMask expected) =>
        Assert.Equal(expected, Gfp.Convert(flags, policy, marked ? ThreadFlags.Fstrans : ThreadFlags.None));

    [Theory]
    [InlineData(KmemPolicy.None, GfpMask.Kernel)]
    [InlineData(KmemPolicy.TxCookie, NoIoFs)]
    [InlineData(KmemPolicy.Fstrans, NoIoFs)]
    public void A_nested_allocation_cannot_escape_the_mark(KmemPolicy policy, GfpMask expected)
    {
        Assert.Equal(expected, Gfp.Scope(GfpMask.Kernel, policy, ThreadFlags.Fstrans));
        Assert.Equal(GfpMask.Kernel, Gfp.Scope(GfpMask.Kernel, policy, ThreadFlags.None));
    }

    [Fact]
    public void Unknown_flag_bits_are_refused()
    {
        _ = Assert.Throws<ArgumentException>(() => Gfp.Convert((KmFlags)0x1000, KmemPolicy.Fstrans, ThreadFlags.None));
        KmemWorld.Run(static system =>
        {
            _ = Assert.Throws<ArgumentException>(static () => Bad(100));
            _ = Assert.Throws<ArgumentException>(static () => Bad(100_000));
        });
    }

    private static unsafe void Bad(long size) => KmemAllocator.Alloc(size, (KmFlags)2);
}
