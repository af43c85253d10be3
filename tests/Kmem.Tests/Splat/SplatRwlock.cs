using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Splat;

/// <summary>splat rwlock, 0x0701 to 0x0707. Arena: none, a lock allocates nothing from kmem.</summary>
public class SplatRwlock
{
    private const long Ms = 1_000_000;

    /// <summary>Eight threads, one of them the writer; each begins at a random time within 255 ms (25 ms on the operating
    /// system). While the writer is inside all seven readers wait; after it all seven are inside at once.</summary>
    [Fact]
    public void T0701_N_rd_1_wr() => Backends.Run(() =>
    {
        const int readers = 7;
        var rw = new Krwlock("splat_rwlock");
        var phase = new Phase();
        int holders = 0;
        Kthread writer = Kthread.Start("writer", () => Hold(rw.EnterWrite, 1));
        var threads = new Kthread[readers];
        for (int i = 0; i < readers; i++)
        {
            threads[i] = Kthread.Start($"reader{i}", () =>
            {
                RandomSleep();
                while (Katomic.Load(ref holders) == 0)
                {
                    Kthread.Sleep(Ms);
                }

                Hold(rw.EnterRead, 2);
            });
        }

        Until(() => threads.All(t => ReferenceEquals(t.WaitingFor, rw)));
        Assert.Equal(1, Katomic.Load(ref holders));
        phase.Set(1);
        writer.Join();
        Until(() => Katomic.Load(ref holders) >= readers);
        Assert.Equal(readers, Katomic.Load(ref holders));
        Assert.False(rw.TryEnterWrite());
        phase.Set(2);
        foreach (Kthread t in threads)
        {
            t.Join();
        }

        Assert.Equal(0, holders);
        Assert.True(rw.TryEnterWrite());
        rw.Exit();

        void Hold(Action enter, int until)
        {
            RandomSleep();
            enter();
            Katomic.Increment(ref holders);
            phase.Await(until);
            Katomic.Decrement(ref holders);
            rw.Exit();
        }
    });

    /// <summary>256 tasks; each is a writer that sleeps for 10 ms between reading and writing.</summary>
    [Fact]
    public void T0702_0_rd_N_wr() => Backends.Run(
        static () =>
        {
            const int tasks = 256;
            var rw = new Krwlock("splat_rwlock");
            var queue = new Taskq("rwlock_taskq", Kthread.CpuCount);
            int count = 0;
            for (int i = 0; i < tasks; i++)
            {
                queue.Dispatch(() =>
                {
                    rw.EnterWrite();
                    int seen = count;
                    Kthread.Sleep(10 * Ms);
                    Assert.Equal(seen, count);
                    count = seen + 1;
                    rw.Exit();
                });
            }

            queue.Destroy();
            Assert.Equal(tasks, count);
        },
        seeds: 10);

    /// <summary>RW_LOCK_HELD, RW_READ_HELD and RW_WRITE_HELD with the lock held for reading, for writing, and free.</summary>
    [Fact]
    public void T0703_held() => Backends.Run(static () =>
    {
        var rw = new Krwlock("splat_rwlock");
        (bool Lock, bool Read, bool Write) free = (false, false, false);
        Assert.Equal(free, Held(rw));
        rw.EnterRead();
        Assert.Equal((true, true, false), Held(rw));
        Assert.Equal(free, InTask(() => Held(rw)));
        rw.Exit();
        Assert.Equal(free, Held(rw));
        rw.EnterWrite();
        Assert.Equal((true, false, true), Held(rw));
        Assert.Equal(free, InTask(() => Held(rw)));
        rw.Exit();
        Assert.Equal(free, Held(rw));
    });

    /// <summary>Every kind of rw_tryenter against every kind of holder; EBUSY is false.</summary>
    [Theory]
    [InlineData('w', 'w', false)]
    [InlineData('w', 'r', false)]
    [InlineData('r', 'w', false)]
    [InlineData('r', 'r', true)]
    [InlineData('-', 'w', true)]
    [InlineData('-', 'r', true)]
    public void T0704_tryenter(char holder, char tried, bool expected) => Backends.Run(() =>
    {
        var rw = new Krwlock("splat_rwlock");
        Enter(rw, holder);
        Assert.Equal(expected, InTask(() => TryAndExit(rw, tried)));
        if (holder != '-')
        {
            rw.Exit();
        }

        Assert.True(TryAndExit(rw, 'w'));
    });

    /// <summary>A writer becomes a reader: others may read beside it, still none may write.</summary>
    [Fact]
    public void T0705_rw_downgrade() => Backends.Run(static () =>
    {
        var rw = new Krwlock("splat_rwlock");
        rw.EnterWrite();
        Assert.Equal((true, false, true), Held(rw));
        Assert.False(InTask(() => TryAndExit(rw, 'r')));
        rw.Downgrade();
        Assert.Equal((true, true, false), Held(rw));
        Assert.True(InTask(() => TryAndExit(rw, 'r')));
        Assert.False(InTask(() => TryAndExit(rw, 'w')));
        rw.Exit();
        Assert.Equal((false, false, false), Held(rw));
    });

    /// <summary>
    /// rw_tryupgrade-1 reads the counter inside Linux's rw_semaphore: free, one reader, one writer, and free again. There is no
    /// such word here; what it stands for is asked of another thread, which tries.
    /// </summary>
    [Fact]
    public void T0706_rw_tryupgrade_1() => Backends.Run(static () =>
    {
        var rw = new Krwlock("splat_rwlock");
        Assert.Equal((true, true), State());
        rw.EnterRead();
        Assert.Equal((true, false), State());
        rw.Exit();
        Assert.Equal((true, true), State());
        rw.EnterWrite();
        Assert.Equal((false, false), State());
        rw.Exit();
        Assert.Equal((true, true), State());

        (bool Read, bool Write) State() => InTask(() => (TryAndExit(rw, 'r'), TryAndExit(rw, 'w')));
    });

    /// <summary>The only reader becomes the writer; beside another reader it can't, and stays a reader.</summary>
    [Fact]
    public void T0707_rw_tryupgrade_2() => Backends.Run(static () =>
    {
        var rw = new Krwlock("splat_rwlock");
        rw.EnterRead();
        Assert.True(rw.TryUpgrade());
        Assert.Equal((true, false, true), Held(rw));
        Assert.False(InTask(() => TryAndExit(rw, 'r')));
        rw.Exit();

        var phase = new Phase();
        Kthread other = Kthread.Start("other", () =>
        {
            rw.EnterRead();
            phase.Set(1);
            phase.Await(2);
            rw.Exit();
        });
        phase.Await(1);
        rw.EnterRead();
        Assert.False(rw.TryUpgrade());
        Assert.Equal((true, true, false), Held(rw));
        phase.Set(2);
        other.Join();
        Assert.True(rw.TryUpgrade());
        rw.Exit();
        Assert.Equal((false, false, false), Held(rw));
    });

    private static (bool Lock, bool Read, bool Write) Held(Krwlock rw) => (rw.IsReadHeld || rw.IsWriteHeld, rw.IsReadHeld, rw.IsWriteHeld);

    private static void Enter(Krwlock rw, char kind)
    {
        if (kind == 'w')
        {
            rw.EnterWrite();
        }
        else if (kind == 'r')
        {
            rw.EnterRead();
        }
    }

    private static bool TryAndExit(Krwlock rw, char kind)
    {
        bool entered = kind == 'w' ? rw.TryEnterWrite() : rw.TryEnterRead();
        if (entered)
        {
            rw.Exit();
        }

        return entered;
    }

    /// <summary>Asks in a thread of a task queue.</summary>
    private static T InTask<T>(Func<T> question)
    {
        T answer = default!;
        var queue = new Taskq("rwlock_taskq", 1);
        queue.Dispatch(() => { answer = question(); });
        queue.Destroy();
        return answer;
    }

    private static void RandomSleep() => Kthread.Sleep(Krandom.Next(256) * (Backends.IsSim ? Ms : Ms / 10));

    private static void Until(Func<bool> condition)
    {
        while (!condition())
        {
            Kthread.Sleep(Ms);
        }
    }

    private sealed class Phase
    {
        private readonly Kmutex _mutex = new("splat_phase");
        private readonly Kcondvar _cv = new("splat_phase");
        private int _phase;

        internal void Set(int phase)
        {
            _mutex.Enter();
            _phase = phase;
            _cv.Broadcast();
            _mutex.Exit();
        }

        internal void Await(int phase)
        {
            _mutex.Enter();
            while (_phase < phase)
            {
                _cv.Wait(_mutex);
            }

            _mutex.Exit();
        }
    }
}
