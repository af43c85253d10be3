using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>Condition variables; splat's own tests of them are in Splat/.</summary>
public class CondvarTests
{
    private const long Ms = 1_000_000;

    [Fact]
    public void Each_signal_wakes_one_waiter() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_signal");
        var cv = new Kcondvar("test_signal");
        int waiting = 0;
        int woken = 0;
        Kthread[] threads = StartWaiters(4, mutex, () =>
        {
            waiting++;
            Assert.True(cv.WaitUntil(mutex, long.MaxValue));
            Assert.True(mutex.IsHeld);
            woken++;
        });
        WaitFor(mutex, () => waiting == 4);
        for (int i = 1; i <= 4; i++)
        {
            mutex.Enter();
            Assert.True(cv.HasWaiters);
            cv.Signal();
            mutex.Exit();
            WaitFor(mutex, () => woken == i);
        }

        Assert.False(cv.HasWaiters);
        JoinAll(threads);
    });

    [Fact]
    public void Broadcast_wakes_them_all() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_broadcast");
        var cv = new Kcondvar("test_broadcast");
        int waiting = 0;
        Kthread[] threads = StartWaiters(6, mutex, () =>
        {
            waiting++;
            cv.Wait(mutex);
        });
        WaitFor(mutex, () => waiting == 6);
        mutex.Enter();
        cv.Broadcast();
        mutex.Exit();
        JoinAll(threads);
    }, osRounds: 50);

    [Fact]
    public void A_signal_before_the_deadline_counts_as_one_and_none_as_a_timeout() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_timed");
        var cv = new Kcondvar("test_timed");
        mutex.Enter();
        long start = Kclock.NowNs;
        Assert.False(cv.WaitUntil(mutex, start + (3 * Ms)));
        Assert.True(Kclock.NowNs >= start + (3 * Ms));
        Assert.True(mutex.IsHeld);
        Assert.False(cv.HasWaiters);
        Kthread waker = Kthread.Start("waker", () =>
        {
            mutex.Enter();
            cv.Signal();
            mutex.Exit();
        });
        Assert.True(cv.WaitUntil(mutex, Kclock.NowNs + (30_000 * Ms)));
        mutex.Exit();
        waker.Join();
    });

    [Fact]
    public void A_deadline_in_the_past_returns_at_once() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_past");
        var cv = new Kcondvar("test_past");
        mutex.Enter();
        Assert.False(cv.WaitUntil(mutex, Kclock.NowNs - 1));
        mutex.Exit();
    });

    [Fact]
    public void Timeouts_that_race_with_signals_lose_none() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_race");
        var cv = new Kcondvar("test_race");
        int items = 0;
        int taken = 0;
        Kthread[] consumers = StartWaiters(2, mutex, () =>
        {
            while (taken < 40)
            {
                if (items > 0)
                {
                    items--;
                    taken++;
                    cv.Broadcast();
                }
                else
                {
                    cv.WaitUntil(mutex, Kclock.NowNs + 20_000);
                }
            }
        });
        for (int i = 0; i < 40; i++)
        {
            mutex.Enter();
            items++;
            cv.Signal();
            mutex.Exit();
            Kthread.Yield();
        }

        JoinAll(consumers);
        Assert.Equal(0, items);
    }, osRounds: 50);

    [Fact]
    public void Producers_and_consumers_of_a_bounded_buffer_finish() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_buffer");
        var notFull = new Kcondvar("test_not_full");
        var notEmpty = new Kcondvar("test_not_empty");
        var buffer = new Queue<int>();
        long sum = 0;
        Backends.Parallel(4, n =>
        {
            for (int i = 0; i < 20; i++)
            {
                mutex.Enter();
                if (n < 2)
                {
                    while (buffer.Count == 2)
                    {
                        notFull.Wait(mutex);
                    }

                    buffer.Enqueue((n * 20) + i);
                    notEmpty.Signal();
                }
                else
                {
                    while (buffer.Count == 0)
                    {
                        notEmpty.Wait(mutex);
                    }

                    sum += buffer.Dequeue();
                    notFull.Signal();
                }

                mutex.Exit();
            }
        });
        Assert.Equal(780, sum);
    }, osRounds: 30);

    [Fact]
    public void Waiting_without_the_mutex_is_an_error() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_unheld");
        var cv = new Kcondvar("test_unheld");
        Assert.Throws<InvalidOperationException>(() => cv.Wait(mutex));
        Assert.False(cv.HasWaiters);
    });

    [OsFact]
    public void A_deadline_of_fifty_microseconds_is_not_rounded_to_a_millisecond() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_precise");
        var cv = new Kcondvar("test_precise");
        var took = new List<long>();
        mutex.Enter();
        for (int i = 0; i < 100; i++)
        {
            long start = Kclock.NowNs;
            cv.WaitUntil(mutex, start + 50_000);
            took.Add(Kclock.NowNs - start);
        }

        mutex.Exit();
        took.Sort();
        Assert.True(took[0] >= 50_000, $"early: {took[0]} ns");
        Assert.True(took[20] < 600_000, $"a fifth took longer than {took[20]} ns");
    });

    private static Kthread[] StartWaiters(int count, Kmutex mutex, Action underMutex)
    {
        var threads = new Kthread[count];
        for (int i = 0; i < count; i++)
        {
            threads[i] = Kthread.Start($"waiter{i}", () =>
            {
                mutex.Enter();
                underMutex();
                mutex.Exit();
            });
        }

        return threads;
    }

    private static void WaitFor(Kmutex mutex, Func<bool> condition)
    {
        while (true)
        {
            mutex.Enter();
            bool met = condition();
            mutex.Exit();
            if (met)
            {
                return;
            }

            Kthread.Yield();
        }
    }

    private static void JoinAll(Kthread[] threads)
    {
        foreach (Kthread t in threads)
        {
            t.Join();
        }
    }
}
