using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>Virtual time, the ways a run ends, and that nothing of it is left.</summary>
public class SimWorldTests
{
    private static readonly Kmutex s_static = new("test_static");

    [SimFact]
    public void Time_jumps_when_nobody_can_run()
    {
        SimResult result = SimWorld.Run(new SimOptions { StepNs = 0 }, () =>
        {
            Kthread other = Kthread.Start("other", () => Kthread.Sleep(3_600_000_000_000));
            Kthread.Sleep(1_000_000_000);
            Assert.Equal(1_000_000_000, Kclock.NowNs);
            other.Join();
        });
        Assert.Equal((SimOutcome.Completed, 3_600_000_000_000), (result.Outcome, result.EndTimeNs));
    }

    [SimFact]
    public void A_body_that_never_ends_meets_the_step_limit()
    {
        SimResult result = SimWorld.Run(new SimOptions { MaxSteps = 1000 }, () =>
        {
            Kthread.Start("other", Spin);
            Spin();
        });
        Assert.Equal((SimOutcome.StepLimit, 1001), (result.Outcome, result.Steps));

        static void Spin()
        {
            while (true)
            {
                Kthread.Yield();
            }
        }
    }

    [SimFact]
    public void Pct_lets_others_run_past_a_thread_that_spins()
    {
        for (ulong seed = 1; seed <= 20; seed++)
        {
            SimResult result = SimWorld.Run(new SimOptions { Seed = seed, Strategy = SimStrategy.Pct, MaxSteps = 50_000 }, static () =>
            {
                int flag = 0;
                Kthread setter = Kthread.Start("setter", () => Katomic.Store(ref flag, 1));
                while (Katomic.Load(ref flag) == 0)
                {
                }

                setter.Join();
            });
            Assert.Equal(SimOutcome.Completed, result.Outcome);
        }
    }

    [SimFact]
    public void An_exception_in_any_thread_fails_the_run()
    {
        SimResult result = SimWorld.Run(new SimOptions(), () =>
        {
            Kthread.Start("thrower", () => throw new InvalidOperationException("planted")).Join();
        });
        Assert.Equal((SimOutcome.Failed, "planted"), (result.Outcome, result.Failure?.Message));
        Assert.StartsWith("thrower", result.FailedThread, StringComparison.Ordinal);
    }

    [SimFact]
    public void All_threads_are_unwound_through_their_finally_blocks()
    {
        int unwound = 0;
        for (ulong seed = 1; seed <= 50; seed++)
        {
            unwound = 0;
            var mutex = new Kmutex("test_unwind");
            var cv = new Kcondvar("test_unwind");
            SimResult result = SimWorld.Run(new SimOptions { Seed = seed, RecordStacks = false }, () =>
            {
                var threads = new Kthread[5];
                for (int i = 0; i < 5; i++)
                {
                    threads[i] = Kthread.Start($"t{i}", Body);
                }

                threads[0].Join();
            });
            Assert.Equal(SimOutcome.Deadlock, result.Outcome);
            Assert.Equal(5, unwound);

            void Body()
            {
                mutex.Enter();
                try
                {
                    cv.Wait(mutex);
                }
                finally
                {
                    unwound++;
                    mutex.Exit();
                    mutex.Enter();
                    mutex.Exit();
                }
            }
        }
    }

    [SimFact]
    public void A_finally_block_that_waits_does_not_hold_up_the_end()
    {
        SimResult result = SimWorld.Run(new SimOptions(), () =>
        {
            var mutex = new Kmutex("test_final_wait");
            var cv = new Kcondvar("test_final_wait");
            mutex.Enter();
            try
            {
                cv.Wait(mutex);
            }
            finally
            {
                Kthread.Sleep(5_000_000_000);
                mutex.Enter();
                cv.Wait(mutex);
            }
        });
        Assert.Equal(SimOutcome.Deadlock, result.Outcome);
    }

    [Fact]
    public void A_thread_that_swallows_the_end_is_named_and_the_process_aborted()
    {
        (int exit, string output) = SplChild.Run("swallow", sim: true);
        Assert.NotEqual(0, exit);
        Assert.Contains("thread main#1 goes on after the end", output, StringComparison.Ordinal);
    }

    [SimFact]
    public void Blocked_threads_write_down_their_stacks_on_request_and_go_on()
    {
        var mutex = new Kmutex("test_stacks");
        SimResult Run(bool record) => SimWorld.Run(new SimOptions { Seed = 3 }, () =>
        {
            mutex.Enter();
            Kthread blocked = Kthread.Start("blocked", TakeAndRelease);
            Kthread sleeper = Kthread.Start("sleeper", static () => Kthread.Sleep(1_000_000));
            Kthread.Sleep(10_000);
            if (record)
            {
                SimWorld.RecordStacks();
                Assert.Contains(nameof(TakeAndRelease), blocked.WaitStack, StringComparison.Ordinal);
                Assert.Contains(nameof(Kthread.Sleep), sleeper.WaitStack, StringComparison.Ordinal);
            }

            Assert.Null(Kthread.Current.WaitStack);
            mutex.Exit();
            blocked.Join();
            Assert.Null(blocked.WaitStack);
            sleeper.Join();
        });

        SimResult with = Run(true);
        Assert.Equal(SimOutcome.Completed, with.Outcome);
        Assert.Equal(Run(false).ToString(), with.ToString());

        void TakeAndRelease()
        {
            mutex.Enter();
            mutex.Exit();
        }
    }

    [SimFact]
    public void A_lock_in_a_static_is_free_in_the_next_run()
    {
        for (int i = 0; i < 3; i++)
        {
            SimResult result = SimWorld.Run(new SimOptions(), () =>
            {
                s_static.Enter();
                Kthread.Start("blocked", s_static.Enter).Join();
            });
            Assert.Equal(SimOutcome.Deadlock, result.Outcome);
        }

        s_static.Enter();
        s_static.Exit();
    }

    [SimFact]
    public void The_deadlock_hook_sees_the_blocked_threads_before_they_are_unwound()
    {
        string[] seen = [];
        SimResult result = SimWorld.Run(new SimOptions
        {
            OnDeadlock = () => seen = [.. Kthread.All().Select(static t => $"{t.Name}:{t.WaitingFor?.WaitName}:{t.WaitStack is not null}")],
        }, () =>
        {
            var mutex = new Kmutex("test_hook");
            Kthread.Start("keeper", () =>
            {
                mutex.Enter();
                new Kcondvar("test_hook").Wait(mutex: Held(new Kmutex("test_hook_own")));
            });
            Kthread.Sleep(1000);
            mutex.Enter();
        });
        Assert.Equal(SimOutcome.Deadlock, result.Outcome);
        Assert.Equal(["main:mutex test_hook:True", "keeper:condition test_hook:True"], seen);

        static Kmutex Held(Kmutex mutex)
        {
            mutex.Enter();
            return mutex;
        }
    }

    [SimFact]
    public void The_idle_hook_can_declare_a_deadlock_beside_a_thread_that_ticks()
    {
        int idle = 0;
        SimResult result = SimWorld.Run(new SimOptions { OnIdle = () => ++idle == 10 }, () =>
        {
            Kthread.Start("ticker", static () =>
            {
                while (true)
                {
                    Kthread.Sleep(1_000_000);
                }
            });
            var mutex = new Kmutex("test_idle");
            var cv = new Kcondvar("test_idle");
            mutex.Enter();
            cv.Wait(mutex);
        });
        Assert.Equal((SimOutcome.Deadlock, 10), (result.Outcome, idle));
    }

    [SimFact]
    public void Threads_left_over_are_named()
    {
        SimResult result = SimWorld.Run(new SimOptions(), static () =>
        {
            Kthread.Start("forgotten", static () => Kthread.Sleep(1_000_000_000));
        });
        Assert.Equal(SimOutcome.Completed, result.Outcome);
        Assert.StartsWith("forgotten", Assert.Single(result.Leftover), StringComparison.Ordinal);
    }

    [SimFact]
    public void Reset_hooks_run_before_and_after_a_run()
    {
        int calls = 0;
        SimWorld.OnReset(() => calls++);
        SimWorld.Run(new SimOptions(), () => Assert.Equal(1, calls));
        Assert.Equal(2, calls);
    }

    [SimFact]
    public void Ten_thousand_runs_leak_neither_threads_nor_memory()
    {
        RunMany(500);
        int threads = SimWorld.PooledThreads;
        long before = GC.GetTotalMemory(true);
        long start = Environment.TickCount64;
        RunMany(10_000);
        Assert.True(Environment.TickCount64 - start < 30_000);
        Assert.Equal(threads, SimWorld.PooledThreads);
        Assert.InRange(GC.GetTotalMemory(true) - before, long.MinValue, 2_000_000);
        LockOrder.Reset();

        static void RunMany(int runs)
        {
            for (int i = 0; i < runs; i++)
            {
                SimWorld.Run(Backends.Nth(new SimOptions { RecordStacks = false }, i), i % 3 == 0 ? SimBodies.Abba : SimBodies.SplitUpdate);
            }
        }
    }

    [SimFact]
    public void Runs_do_not_nest()
    {
        SimResult result = SimWorld.Run(new SimOptions(), static () => SimWorld.Run(new SimOptions(), static () => { }));
        Assert.Equal(SimOutcome.Failed, result.Outcome);
        Assert.IsType<InvalidOperationException>(result.Failure);
    }

    [SimFact]
    public void Outside_a_run_one_thread_may_use_everything_that_does_not_block_for_ever()
    {
        var mutex = new Kmutex("test_outside");
        var rw = new Krwlock("test_outside_rw");
        var cv = new Kcondvar("test_outside");
        long start = Kclock.NowNs;
        mutex.Enter();
        cv.Signal();
        Assert.False(cv.WaitUntil(mutex, start + 1000));
        rw.EnterRead();
        Assert.True(rw.TryUpgrade());
        rw.Exit();
        Kthread.Sleep(1_000_000);
        Assert.InRange(Kclock.NowNs - start, 1_001_000, 1_002_000);
        Assert.Throws<InvalidOperationException>(() => cv.Wait(mutex));
        Assert.Throws<InvalidOperationException>(() => Kthread.Start("no", static () => { }));
    }
}
