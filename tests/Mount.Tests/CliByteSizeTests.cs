using FsCheck;
using FsCheck.Fluent;
using Xunit;
using ZfsLite.Cli;

namespace ZfsLite.Tests.Mount;

public sealed class CliByteSizeTests
{
    [Theory]
    [InlineData("512", 512)]
    [InlineData("64K", 65536)]
    [InlineData("64k", 65536)]
    [InlineData("1.5M", 1572864)]
    [InlineData("256MiB", 268435456)]
    [InlineData("1G", 1073741824)]
    [InlineData("2TB", 2199023255552)]
    public void Sizes_are_binary(string text, long bytes)
    {
        Assert.True(ByteSize.TryParse(text, out long parsed));
        Assert.Equal(bytes, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("K")]
    [InlineData("1Q")]
    [InlineData("1KK")]
    [InlineData("1.2.3M")]
    [InlineData("99999999999999999999")]
    [InlineData("9000000P")]
    [InlineData("1e3")]
    public void What_is_no_size_is_refused(string text) => Assert.False(ByteSize.TryParse(text, out _));

    [Fact]
    public void A_printed_size_parses_to_within_a_twentieth()
    {
        Prop.ForAll(ArbMap.Default.ArbFor<PositiveInt>(), ArbMap.Default.ArbFor<byte>(), (n, shift) =>
        {
            long bytes = (long)n.Get << (shift % 24);
            return ByteSize.TryParse(ByteSize.Format(bytes), out long back) && Math.Abs(back - bytes) <= (bytes / 20.0);
        }).QuickCheckThrowOnFailure();
    }
}
