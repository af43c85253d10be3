using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Splat;

/// <summary>
/// splat taskq, 0x0201 to 0x020b. 1 to 7 run with an entry made by the dispatch and with one preallocated by the caller
/// (taskq_dispatch_ent). A queue here has no minalloc: an entry is preallocated or made on the GC heap. maxalloc is maxQueued.
/// <para>Arena: none, a task queue allocates nothing from kmem.</para>
/// </summary>
public class SplatTaskq
{
    private const long Ms = 1_000_000;
    private const int DepthMax = 16;

    private static readonly SimOptions s_long = new() { MaxSteps = 100_000_000 };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void T0201_single(bool preallocated) => Backends.Run(() =>
    {
        var queue = new Taskq("single", 1);
        int flag = 0;
        Assert.Equal(1, Dispatch(queue, preallocated, () => flag++));
        queue.Wait();
        Assert.Equal(1, flag);
        queue.Destroy();
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void T0202_multiple(bool preallocated) => Backends.Run(() =>
    {
        const int queues = 8;
        var queue = new Taskq[queues];
        var flag = new int[queues];
        for (int i = 0; i < queues; i++)
        {
            int n = i;
            queue[n] = new Taskq("multiple", 1);
            flag[n] = n;
            Assert.Equal(1, Dispatch(queue[n], preallocated, () => flag[n] *= 2));
            Assert.Equal(2, Dispatch(queue[n], preallocated, () => flag[n] += 1));
        }

        for (int i = 0; i < queues; i++)
        {
            queue[i].Wait();
            queue[i].Destroy();
            Assert.Equal((i * 2) + 1, flag[i]);
        }
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void T0203_system(bool preallocated) => Backends.Run(() =>
    {
        const int tasks = 8;
        int flag = 0;
        Taskq queue = SystemTaskq.Queue;
        for (int i = 0; i < tasks; i++)
        {
            Assert.True(Dispatch(queue, preallocated, () => Katomic.Increment(ref flag)) > 0);
        }

        Assert.Same(queue, SystemTaskq.Queue);
        queue.Wait();
        Assert.Equal(tasks, flag);
        SystemTaskq.Destroy();
        Assert.NotSame(queue, SystemTaskq.Queue);
        SystemTaskq.Destroy();
    });

    /// <summary>Nothing is dropped when more is dispatched than may wait: with a sleeping dispatch the caller waits.</summary>
    [Theory]
    [InlineData(false, int.MaxValue, 1024)]
    [InlineData(true, int.MaxValue, 1024)]
    [InlineData(false, 1, 32)]
    [InlineData(true, 1, 32)]
    public void T0204_wait(bool preallocated, int maxQueued, int tasksMax) => Backends.Run(
        () =>
        {
            var queue = new Taskq("wait", 1, maxQueued: maxQueued);
            int mostQueued = 0;
            for (int tasks = 1; tasks <= tasksMax; tasks *= 2)
            {
                int count = 0;
                for (int i = 0; i < tasks; i++)
                {
                    Dispatch(queue, preallocated, () => Katomic.Increment(ref count));
                    mostQueued = Math.Max(mostQueued, queue.QueuedCount);
                }

                queue.Wait();
                Assert.Equal(tasks, Katomic.Load(ref count));
            }

            Assert.InRange(mostQueued, 0, maxQueued);
            queue.Destroy();
        },
        seeds: 6,
        options: s_long);

    /// <summary>
    /// Three threads; tasks 1 to 8 take 1, 2, 5, 2, 2, 4, 4 and 1 units of 100 ms. Those after the one waited for may end before it,
    /// all before it must have. On the operating system the units are steps, so that a busy machine can't upset them.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void T0205_order(bool preallocated) => Backends.Run(() =>
    {
        int[] units = [1, 2, 5, 2, 2, 4, 4, 1];
        var queue = new Taskq("order", 3);
        var steps = new SplatSteps(3, units.Length, 100 * Ms);
        long start = Kclock.NowNs;
        for (int i = 0; i < units.Length; i++)
        {
            int id = i + 1;
            int length = units[i];
            Assert.Equal(id, Dispatch(queue, preallocated, () => steps.Task(id, length)));
        }

        steps.RunUntil(5);
        queue.WaitOutstanding(3);
        Assert.Equal([1, 2, 4, 5, 3], steps.Order());
        AssertVirtualTime(start, 500 * Ms);
        steps.RunUntil(8);
        queue.WaitOutstanding(8);
        Assert.Equal([1, 2, 4, 5, 3, 8, 6, 7], steps.Order());
        AssertVirtualTime(start, 800 * Ms);
        queue.Destroy();
    });

    /// <summary>Three threads, busy with 1 to 3 (3, 5 and 7 units of 50 ms) while 4 and 5 are queued, and then 6 to 8 in front.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void T0206_front(bool preallocated) => Backends.Run(() =>
    {
        int[] units = [3, 5, 7, 6, 6, 5, 6, 6];
        var queue = new Taskq("front", 3);
        var steps = new SplatSteps(3, units.Length, 50 * Ms);
        long start = Kclock.NowNs;
        for (int i = 0; i < units.Length; i++)
        {
            int id = i + 1;
            int length = units[i];
            Assert.Equal(id, Dispatch(queue, preallocated, () => steps.Task(id, length), front: id > 5));
            if (id == 3)
            {
                steps.AwaitSleepers(3, 2);
            }
        }

        steps.RunUntil(17);
        queue.WaitOutstanding(8);
        Assert.Equal([1, 2, 3, 6, 7, 8, 4, 5], steps.Order());
        AssertVirtualTime(start, 17 * 50 * Ms);
        queue.Destroy();
    });

    /// <summary>Each task dispatches the next, the preallocated one itself, which it may once it runs. 16 deep.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void T0207_recurse(bool preallocated) => Backends.Run(() =>
    {
        var queue = new Taskq("recurse", 1);
        int depth = 0;
        Entry? entry = null;
        entry = new Entry(Recurse);
        Recurse();
        queue.WaitOutstanding(DepthMax);
        Assert.Equal(DepthMax, depth);
        queue.Destroy();

        void Recurse()
        {
            if (depth < DepthMax)
            {
                int mine = ++depth;
                if (preallocated)
                {
                    // It may have dispatched itself again by now.
                    queue.Dispatch(entry!);
                    Assert.InRange(entry!.Id, mine, DepthMax);
                }
                else
                {
                    Assert.Equal(mine, queue.Dispatch(Recurse));
                }
            }
        }
    });

    /// <summary>100 threads, of which no more than 100 entries may wait; 131,072 entries, in the simulator 1,024 (all in the stress
    /// suite).</summary>
    [Fact]
    public void T0208_contention() => Contention(Backends.IsSim ? 1024 : 0x20000);

    [Fact]
    [Trait("Category", "stress")]
    public void T0208_contention_full() => Contention(0x20000);

    /// <summary>100 tasks, each due at a random time in the next 5 s (on the operating system half a second; 5 s in the stress
    /// suite). None runs early; in virtual time none is late.</summary>
    [Fact]
    public void T0209_delay() => Delay(Backends.IsSim ? 5000 : 500);

    [Fact]
    [Trait("Category", "stress")]
    public void T0209_delay_full() => Delay(5000);

    /// <summary>100 tasks, a third at once and the others within 5 s, are cancelled at random for 5 s (on the operating system 1 s; 5 s in
    /// the stress suite): cancelled (0), not found (ENOENT) or waited for (EBUSY). What ran and what was cancelled add up.</summary>
    [Fact]
    public void T020a_cancel() => Cancel(Backends.IsSim ? 5000 : 1000);

    [Fact]
    [Trait("Category", "stress")]
    public void T020a_cancel_full() => Cancel(5000);

    /// <summary>
    /// 100,000 tasks (in the simulator 1,000) through 100 threads, and through a dynamic queue of at most 100, which may take ten
    /// times as long. It begins with one thread, has 100 when 100 tasks wait for each other, and one again when nothing is left to do.
    /// </summary>
    [Fact]
    public void T020b_dynamic() => Backends.Run(
        () =>
        {
            int tasks = Backends.IsSim ? 1000 : 100_000;
            var fixedQueue = new Taskq("dynamic_fixed", 100);
            Assert.Equal(100, fixedQueue.ThreadCount);
            long fixedNs = Throughput(fixedQueue, tasks);
            fixedQueue.Destroy();

            var queue = new Taskq("dynamic", 100, isDynamic: true);
            Assert.Equal(1, queue.ThreadCount);
            long dynamicNs = Throughput(queue, tasks);
            Assert.InRange(dynamicNs, 0, 10 * Math.Max(fixedNs, Backends.IsSim ? 0 : 100 * Ms));
            MeetInQueue(queue, 100);
            Assert.Equal(100, queue.ThreadCount);
            long deadline = Kclock.NowNs + (30_000 * Ms);
            while (queue.ThreadCount > 1)
            {
                Assert.True(Kclock.NowNs < deadline, $"{queue.ThreadCount} idle threads stay");
                Kthread.Sleep(50 * Ms);
            }

            int ran = 0;
            queue.Dispatch(() => Katomic.Increment(ref ran));
            queue.Destroy();
            Assert.Equal(1, ran);
        },
        seeds: 16,
        options: s_long);

    /// <summary>Dispatches tasks that all wait until all of them run.</summary>
    private static void MeetInQueue(Taskq queue, int tasks)
    {
        var mutex = new Kmutex("splat_meeting");
        var cv = new Kcondvar("splat_meeting");
        int here = 0;
        for (int i = 0; i < tasks; i++)
        {
            queue.Dispatch(() =>
            {
                mutex.Enter();
                here++;
                cv.Broadcast();
                while (here < tasks)
                {
                    cv.Wait(mutex);
                }

                mutex.Exit();
            });
        }

        queue.Wait();
        Assert.Equal(tasks, here);
    }

    private static long Throughput(Taskq queue, int tasks)
    {
        int count = 0;
        var entries = new Entry[tasks];
        for (int i = 0; i < tasks; i++)
        {
            entries[i] = new Entry(() => Katomic.Increment(ref count));
        }

        long start = Kclock.NowNs;
        foreach (Entry entry in entries)
        {
            queue.Dispatch(entry);
        }

        queue.Wait();
        Assert.Equal(tasks, Katomic.Load(ref count));
        return Kclock.NowNs - start;
    }

    private static void Contention(int tasks) => Backends.Run(
        () =>
        {
            var queue = new Taskq("contention", 100, maxQueued: 100);
            int count = 0;
            var entries = new Entry[tasks];
            for (int i = 0; i < tasks; i++)
            {
                entries[i] = new Entry(() => Katomic.Increment(ref count));
                queue.Dispatch(entries[i]);
                Assert.Equal(i + 1, entries[i].Id);
            }

            queue.Wait();
            Assert.Equal(tasks, Katomic.Load(ref count));
            Assert.All(entries, static e => Assert.Equal(1, e.Runs));
            queue.Destroy();
        },
        seeds: 2,
        options: s_long);

    private static void Delay(int delayMs) => Backends.Run(
        () =>
        {
            const int tasks = 100;
            var queue = new Taskq("delay", 3, maxQueued: 10);
            int onTime = 0;
            long latestNs = 0;
            for (int i = 0; i < tasks; i++)
            {
                long due = Kclock.NowNs + (Krandom.Next(delayMs) * Ms);
                queue.DispatchAt(
                    new Entry(() =>
                    {
                        long late = Kclock.NowNs - due;
                        Katomic.Add(ref onTime, late >= 0 ? 1 : 0);
                        latestNs = Math.Max(latestNs, late);
                    }),
                    due);
            }

            queue.Wait();
            Assert.Equal(tasks, Katomic.Load(ref onTime));
            Assert.True(!Backends.IsSim || latestNs < Ms, $"late by {latestNs} ns");
            queue.Destroy();
        },
        options: s_long);

    private static void Cancel(int lengthMs)
    {
        int waited = 0;
        Backends.Run(() => waited += CancelOnce(lengthMs), seeds: 20, options: s_long);
        Assert.True(!Backends.IsSim || waited > 0, "nothing was cancelled while it ran");
    }

    /// <returns>How often what was to be cancelled was running, and was waited for.</returns>
    private static int CancelOnce(int lengthMs)
    {
        const int tasks = 100;
        var queue = new Taskq("cancel", 3, maxQueued: 10);
        int ran = 0;
        var entries = new Entry[tasks];
        long start = Kclock.NowNs;
        for (int i = 0; i < tasks; i++)
        {
            long due = i % 3 == 0 ? Kclock.NowNs : Kclock.NowNs + (Krandom.Next(lengthMs) * Ms);
            entries[i] = new Entry(() =>
            {
                Katomic.Add(ref ran, Kclock.NowNs >= due ? 1 : 0);
                Kthread.Sleep((1 + Krandom.Next(9)) * Ms);
            });
            if (i % 3 == 0)
            {
                queue.Dispatch(entries[i]);
            }
            else
            {
                queue.DispatchAt(entries[i], due);
            }
        }

        var results = new int[3];
        while (Kclock.NowNs < start + (lengthMs * Ms))
        {
            long before = Kclock.NowNs;
            results[(int)queue.Cancel(entries[Krandom.Next(tasks)])]++;

            // What runs sleeps for 9 ms at most; splat allows twice as much.
            Assert.InRange(Kclock.NowNs - before, 0, Backends.IsSim ? 10 * Ms : 5000 * Ms);
            Kthread.Sleep((1 + Krandom.Next(lengthMs / 50)) * Ms);
        }

        queue.Wait();
        Assert.Equal(tasks, ran + results[(int)TaskqCancel.Cancelled]);
        Assert.Equal(ran, entries.Sum(static e => e.Runs));
        Assert.True(results[(int)TaskqCancel.Cancelled] > 0 && results[(int)TaskqCancel.NotFound] > 0);
        queue.Destroy();
        return results[(int)TaskqCancel.WasRunning];
    }

    /// <summary>In the simulator time is exact, up to the steps between.</summary>
    private static void AssertVirtualTime(long startNs, long afterNs)
    {
        if (Backends.IsSim)
        {
            Assert.InRange(Kclock.NowNs - startNs, afterNs, afterNs + Ms);
        }
    }

    private static long Dispatch(Taskq queue, bool preallocated, Action body, bool front = false)
    {
        if (!preallocated)
        {
            return front ? queue.DispatchFront(body) : queue.Dispatch(body);
        }

        var entry = new Entry(body);
        if (front)
        {
            queue.DispatchFront(entry);
        }
        else
        {
            queue.Dispatch(entry);
        }

        return entry.Id;
    }

    private sealed class Entry(Action body) : TaskqEntry
    {
        internal int Runs { get; private set; }

        protected internal override void Run()
        {
            Runs++;
            body();
        }
    }
}
