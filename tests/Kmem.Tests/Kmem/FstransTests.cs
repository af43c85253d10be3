using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

public sealed class FstransTests
{
    [Fact]
    public void Marks_nest_and_the_inner_unmark_leaves_the_outer() => KmemWorld.Run(static system =>
    {
        Assert.False(Fstrans.Check());
        using (Fstrans.Mark())
        {
            using (Fstrans.Mark())
            {
                Assert.True(Fstrans.Check());
            }

            Assert.True(Fstrans.Check());
        }

        Assert.False(Fstrans.Check());
    });

    [Theory]
    [InlineData(KmemPolicy.None, false)]
    [InlineData(KmemPolicy.TxCookie, false)]
    [InlineData(KmemPolicy.Fstrans, true)]
    public void Entry_points_and_workers_are_marked_under_fstrans_alone(KmemPolicy policy, bool marked) => KmemWorld.Run(
        system =>
        {
            using (Fstrans.MarkEntry())
            {
                Assert.Equal(marked, Fstrans.Check());
            }

            Assert.False(Fstrans.Check());
            Assert.Equal(marked ? ThreadFlags.Fstrans : ThreadFlags.None, Fstrans.WorkerFlags);
        },
        KmemWorld.Options(policy));

    [Fact]
    public void An_unmark_out_of_order_leaves_the_other_cookie_unprotected_and_is_found_out() => KmemWorld.Run(static system =>
    {
        FstransCookie first = Fstrans.Mark();
        FstransCookie second = Fstrans.Mark();
        first.Dispose();
        Assert.False(Fstrans.Check());
        bool threw = false;
        try
        {
            second.Dispose();
        }
        catch (InvalidOperationException)
        {
            threw = true;
        }

        Assert.True(threw);
    });

    [Fact]
    public void The_raw_cookie_of_2014_asserts_thread_and_mark() => KmemWorld.Run(static system =>
    {
        var cookie = default(FstransRawCookie);
        _ = Assert.Throws<InvalidOperationException>(() => cookie.Unmark());

        cookie.Mark();
        Exception? other = null;
        Kthread.Start("other", () => other = Record.Exception(() => cookie.Unmark())).Join();
        _ = Assert.IsType<InvalidOperationException>(other);
        Assert.True(Fstrans.Check());
        cookie.Unmark();
        Assert.False(Fstrans.Check());
    });

    [Fact]
    public void A_raw_cookie_marked_twice_leaks_its_mark_as_the_original_did() => KmemWorld.Run(static system =>
    {
        var cookie = default(FstransRawCookie);
        cookie.Mark();
        cookie.Mark();
        cookie.Unmark();
        Assert.True(Fstrans.Check());
        Kthread.Current.Flags &= ~ThreadFlags.Fstrans;
    });
}
