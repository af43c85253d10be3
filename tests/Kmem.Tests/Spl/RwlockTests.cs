using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>Readers-writer locks; splat's own tests of them are in Splat/.</summary>
public class RwlockTests
{
    [Fact]
    public void Readers_share_and_writers_are_alone() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_shared");
        int readers = 0;
        int writers = 0;
        Backends.Parallel(5, n =>
        {
            for (int i = 0; i < 8; i++)
            {
                if (n < 2)
                {
                    rw.EnterWrite();
                    Assert.Equal(1, Katomic.Increment(ref writers));
                    Assert.Equal(0, Katomic.Load(ref readers));
                    Katomic.Decrement(ref writers);
                }
                else
                {
                    rw.EnterRead();
                    Katomic.Increment(ref readers);
                    Assert.Equal(0, Katomic.Load(ref writers));
                    Katomic.Decrement(ref readers);
                }

                rw.Exit();
            }
        });
        Assert.True(rw.TryEnterWrite());
        rw.Exit();
    }, osRounds: 40);

    [Fact]
    public void Two_readers_are_inside_at_once() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_two");
        int inside = 0;
        Backends.Parallel(2, _ =>
        {
            rw.EnterRead();
            Katomic.Increment(ref inside);
            while (Katomic.Load(ref inside) < 2)
            {
                Kthread.Yield();
            }

            rw.Exit();
        });
    });

    [Fact]
    public void Many_writers_lose_no_update() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_writers");
        int total = 0;
        Backends.Parallel(16, _ =>
        {
            rw.EnterWrite();
            int seen = total;
            Kthread.Yield();
            total = seen + 1;
            rw.Exit();
        });
        Assert.Equal(16, total);
    }, osRounds: 20);

    [Fact]
    public void Try_matrix() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_matrix");
        rw.EnterRead();
        Assert.Equal((true, false), Elsewhere(rw));
        rw.Exit();
        rw.EnterWrite();
        Assert.Equal((false, false), Elsewhere(rw));
        rw.Exit();
        Assert.Equal((true, true), Elsewhere(rw));
    });

    [Fact]
    public void Held_predicates() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_held");
        Assert.False(rw.IsReadHeld || rw.IsWriteHeld);
        rw.EnterRead();
        Assert.True(rw.IsReadHeld && !rw.IsWriteHeld);
        rw.Exit();
        rw.EnterWrite();
        Assert.True(!rw.IsReadHeld && rw.IsWriteHeld);
        Kthread.Start("other", () => Assert.False(rw.IsReadHeld || rw.IsWriteHeld)).Join();
        rw.Exit();
    });

    [Fact]
    public void Downgrade_lets_a_waiting_reader_in_but_no_writer() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_downgrade");
        rw.EnterWrite();
        Kthread reader = Kthread.Start("reader", () =>
        {
            rw.EnterRead();
            rw.Exit();
        });
        while (reader.WaitingFor is null)
        {
            Kthread.Yield();
        }

        rw.Downgrade();
        reader.Join();
        Assert.Equal((true, false), Elsewhere(rw));
        Assert.True(rw.IsReadHeld);
        rw.Exit();
        Assert.Equal((true, true), Elsewhere(rw));
    });

    [Fact]
    public void TryUpgrade_succeeds_for_the_only_reader_alone() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_upgrade");
        rw.EnterRead();
        int step = 0;
        Kthread other = Kthread.Start("other", () =>
        {
            rw.EnterRead();
            Katomic.Store(ref step, 1);
            while (Katomic.Load(ref step) != 2)
            {
                Kthread.Yield();
            }

            rw.Exit();
        });
        while (Katomic.Load(ref step) != 1)
        {
            Kthread.Yield();
        }

        Assert.False(rw.TryUpgrade());
        Assert.True(rw.IsReadHeld);
        Katomic.Store(ref step, 2);
        other.Join();
        Assert.True(rw.TryUpgrade());
        Assert.True(rw.IsWriteHeld);
        Assert.Equal((false, false), Elsewhere(rw));
        rw.Exit();
        Assert.Equal((true, true), Elsewhere(rw));
        Assert.Throws<InvalidOperationException>(() => rw.TryUpgrade());
    });

    [Fact]
    public void A_queued_writer_keeps_new_readers_out_and_gets_in() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_starve");
        rw.EnterRead();
        Kthread writer = Kthread.Start("writer", () =>
        {
            rw.EnterWrite();
            rw.Exit();
        });
        while (writer.WaitingFor is null)
        {
            Kthread.Yield();
        }

        Assert.Equal((false, false), Elsewhere(rw));
        rw.Exit();
        writer.Join();
        Assert.Equal((true, true), Elsewhere(rw));
    });

    [Fact]
    public void Entering_twice_is_an_error_not_a_hang() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_rw_twice");
        rw.EnterWrite();
        Assert.Throws<InvalidOperationException>(rw.EnterRead);
        Assert.Throws<InvalidOperationException>(rw.EnterWrite);
        rw.Exit();
        Assert.Throws<InvalidOperationException>(rw.Exit);
    });

    [Fact]
    public void Readers_are_the_owners_that_a_writer_waits_for() => Backends.Run(() =>
    {
        var rw = new Krwlock("test_rw_owners");
        rw.EnterRead();
        Kthread writer = Kthread.Start("writer", () =>
        {
            rw.EnterWrite();
            rw.Exit();
        });
        while (writer.WaitingFor is null)
        {
            Kthread.Yield();
        }

        var owners = new List<Kthread>();
        writer.WaitingFor.CollectOwners(owners);
        Assert.Equal([Kthread.Current], owners);
        rw.Exit();
        writer.Join();
    });

    private static (bool Read, bool Write) Elsewhere(Krwlock rw)
    {
        bool read = false;
        bool write = false;
        Kthread.Start("elsewhere", () =>
        {
            read = rw.TryEnterRead();
            if (read)
            {
                rw.Exit();
            }

            write = rw.TryEnterWrite();
            if (write)
            {
                rw.Exit();
            }
        }).Join();
        return (read, write);
    }
}
