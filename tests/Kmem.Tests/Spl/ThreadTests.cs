using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>Threads, sleep, and what happens to a thread that throws; splat's own tests of them are in Splat/.</summary>
public class ThreadTests
{
    [Fact]
    public void Join_returns_after_the_body_has_ended() => Backends.Run(() =>
    {
        int ended = 0;
        var threads = new Kthread[8];
        for (int i = 0; i < threads.Length; i++)
        {
            threads[i] = Kthread.Start($"t{i}", () =>
            {
                Kthread.Yield();
                Katomic.Increment(ref ended);
            });
        }

        foreach (Kthread t in threads)
        {
            t.Join();
            t.Join();
        }

        Assert.Equal(8, ended);
    }, osRounds: 20);

    [Fact]
    public void Each_thread_has_its_own_state() => Backends.Run(() =>
    {
        Backends.Parallel(6, n =>
        {
            Kthread self = Kthread.Current;
            Assert.Null(self.TxState);
            Assert.Null(self.KmemState);
            Assert.Null(self.FsState);
            Assert.Equal(ThreadFlags.None, self.Flags);
            self.TxState = n;
            self.Flags = ThreadFlags.Fstrans;
            Kthread.Yield();
            Assert.Equal(n, self.TxState);
            Assert.Same(self, Kthread.Current);
            Assert.Equal($"t{n}", self.Name);
            Assert.InRange(self.Cpu, 0, Kthread.CpuCount - 1);
        });
    });

    [Fact]
    public void All_lists_the_living_in_order_of_creation() => Backends.Run(() =>
    {
        int stop = 0;
        Kthread first = Kthread.Start("first", Spin);
        Kthread second = Kthread.Start("second", Spin);
        Kthread[] all = Kthread.All();
        Assert.Contains(Kthread.Current, all);
        Assert.True(Array.IndexOf(all, first) >= 0 && Array.IndexOf(all, first) < Array.IndexOf(all, second));
        Assert.True(first.Id < second.Id);
        Katomic.Store(ref stop, 1);
        first.Join();
        second.Join();
        while (Array.IndexOf(Kthread.All(), first) >= 0)
        {
            Kthread.Yield();
        }

        void Spin()
        {
            while (Katomic.Load(ref stop) == 0)
            {
                Kthread.Yield();
            }
        }
    });

    [Fact]
    public void Sleep_lasts_at_least_as_long_as_asked() => Backends.Run(() =>
    {
        foreach (long ns in new long[] { 0, 1, 20_000, 1_500_000 })
        {
            long start = Kclock.NowNs;
            Kthread.Sleep(ns);
            Assert.True(Kclock.NowNs - start >= ns);
        }
    });

    [Fact]
    public void A_wake_up_before_the_park_is_not_lost() => Backends.Run(() =>
    {
        var wait = new IdleWait("test");
        int step = 0;
        Kthread sleeper = Kthread.Start("sleeper", () =>
        {
            Katomic.Store(ref step, 1);
            while (Katomic.Load(ref step) != 2)
            {
                Kthread.Current.Park(wait);
            }
        });
        while (Katomic.Load(ref step) != 1)
        {
            Kthread.Yield();
        }

        Katomic.Store(ref step, 2);
        sleeper.Unpark();
        sleeper.Join();
    }, osRounds: 200);

    [OsFact]
    public void An_unhandled_exception_reaches_the_hook()
    {
        Kthread? who = null;
        Exception? what = null;
        Action<Kthread, Exception>? before = Kthread.UnhandledException;
        Kthread.UnhandledException = (t, e) => (who, what) = (t, e);
        try
        {
            Kthread thread = Kthread.Start("thrower", () => throw new InvalidOperationException("planted"));
            thread.Join();
            Assert.Same(thread, who);
            Assert.Equal("planted", what?.Message);
        }
        finally
        {
            Kthread.UnhandledException = before;
        }
    }

    [OsFact]
    public void Without_a_hook_an_unhandled_exception_aborts_the_process()
    {
        (int exit, string output) = SplChild.Run("throw", sim: false);
        Assert.NotEqual(0, exit);
        Assert.Contains("unhandled exception in thread doomed", output, StringComparison.Ordinal);
        Assert.Contains("planted", output, StringComparison.Ordinal);
    }

    [OsFact]
    public void A_slow_wait_records_its_own_stack_and_an_idle_one_does_not()
    {
        long before = Kthread.SlowWaitNs;
        Kthread.SlowWaitNs = 5_000_000;
        try
        {
            var mutex = new Kmutex("test_slow");
            var cv = new Kcondvar("test_slow");
            var idle = new IdleWait("nothing to do");
            bool go = false;
            Kthread slow = Kthread.Start("slow", () => WaitOn(null));
            Kthread idler = Kthread.Start("idler", () => WaitOn(idle));
            for (int i = 0; i < 1000 && slow.WaitStack is null; i++)
            {
                Kthread.Sleep(5_000_000);
            }

            Kthread.Sleep(20_000_000);
            Assert.Contains(nameof(A_slow_wait_records_its_own_stack_and_an_idle_one_does_not), slow.WaitStack, StringComparison.Ordinal);
            Assert.Same(idle, idler.WaitingFor);
            Assert.Null(idler.WaitStack);
            mutex.Enter();
            go = true;
            cv.Broadcast();
            mutex.Exit();
            slow.Join();
            idler.Join();

            void WaitOn(IWaitable? reason)
            {
                mutex.Enter();
                while (!go)
                {
                    cv.Wait(mutex, reason);
                }

                mutex.Exit();
            }
        }
        finally
        {
            Kthread.SlowWaitNs = before;
        }
    }
}
