using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>Mutexes, and what the checker and the wait-for graph lean on; splat's own tests of them are in Splat/.</summary>
public class MutexTests
{
    [Fact]
    public void Keeps_all_others_out() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_counter");
        int inside = 0;
        int total = 0;
        Backends.Parallel(4, _ =>
        {
            for (int i = 0; i < 25; i++)
            {
                mutex.Enter();
                Assert.Equal(1, ++inside);
                int seen = total;
                Kthread.Yield();
                total = seen + 1;
                inside--;
                mutex.Exit();
            }
        });
        Assert.Equal(100, total);
    });

    [OsFact]
    public void Loses_nothing_under_contention_of_real_threads() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_contended");
        long total = 0;
        Backends.Parallel(6, n =>
        {
            for (int i = 0; i < 50_000; i++)
            {
                mutex.Enter();
                total++;
                if (i % 1000 == n)
                {
                    Kthread.Yield();
                }

                mutex.Exit();
            }
        });
        Assert.Equal(300_000, total);
    });

    [Fact]
    public void TryEnter_fails_while_another_thread_holds_it() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_try");
        mutex.Enter();
        bool whileHeld = true;
        Kthread.Start("try", () => whileHeld = mutex.TryEnter()).Join();
        Assert.False(whileHeld);
        mutex.Exit();
        bool whenFree = false;
        Kthread.Start("try", () =>
        {
            whenFree = mutex.TryEnter();
            mutex.Exit();
        }).Join();
        Assert.True(whenFree);
    });

    [Fact]
    public void Knows_its_owner() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_owner");
        Assert.False(mutex.IsHeld);
        mutex.Enter();
        Assert.True(mutex.IsHeld);
        Assert.Same(Kthread.Current, mutex.Owner);
        Assert.True(Kthread.Current.Holds(mutex));
        Kthread.Start("other", () => Assert.False(mutex.IsHeld)).Join();
        mutex.Exit();
        Assert.Null(mutex.Owner);
        Assert.False(Kthread.Current.Holds(mutex));
    });

    [Fact]
    public void Entering_twice_is_an_error_not_a_hang() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_twice");
        mutex.Enter();
        Assert.Throws<InvalidOperationException>(mutex.Enter);
        mutex.Exit();
    });

    [Fact]
    public void Only_the_owner_may_release_it() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_release");
        Assert.Throws<InvalidOperationException>(mutex.Exit);
        mutex.Enter();
        Kthread.Start("other", () => Assert.Throws<InvalidOperationException>(mutex.Exit)).Join();
        Assert.True(mutex.IsHeld);
        mutex.Exit();
    });

    [Fact]
    public void A_blocked_thread_is_on_record_with_the_owner() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_record");
        mutex.Enter();
        Kthread waiter = Kthread.Start("waiter", () =>
        {
            mutex.Enter();
            mutex.Exit();
        });
        while (waiter.WaitingFor is null)
        {
            Kthread.Yield();
        }

        var owners = new List<Kthread>();
        waiter.WaitingFor.CollectOwners(owners);
        Assert.Same(mutex, waiter.WaitingFor);
        Assert.Equal("mutex test_record", waiter.WaitingFor.WaitName);
        Assert.Equal([Kthread.Current], owners);
        mutex.Exit();
        waiter.Join();
        Assert.Null(waiter.WaitingFor);
    });
}
