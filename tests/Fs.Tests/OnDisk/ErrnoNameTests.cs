using Xunit;

namespace ZfsLite.Fs.Tests;

/// <summary>Our constants are the system's numbers, and people are told names.</summary>
public sealed class ErrnoNameTests
{
    [Theory]
    [InlineData(Errno.EIO, "EIO")]
    [InlineData(Errno.ENOSPC, "ENOSPC")]
    [InlineData(Errno.ESTALE, "ESTALE")]
    [InlineData(Errno.EDQUOT, "EDQUOT")]
    public void A_number_is_told_by_name_and_words(int errno, string name)
    {
        string text = ErrnoName.Of(errno);
        Assert.StartsWith(name + " (", text, StringComparison.Ordinal);
        Assert.True(text.Length > name.Length + 5, text);
    }

    [Fact]
    public void A_number_that_nobody_knows_stays_a_number() => Assert.Equal("errno 4095", ErrnoName.Of(4095));
}
