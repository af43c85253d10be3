using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>Task queues; splat's own tests of them are in Splat/.</summary>
public class TaskqTests
{
    private const long Ms = 1_000_000;

    [Fact]
    public void A_single_entry_runs_once_in_a_thread_of_the_queue() => Backends.Run(() =>
    {
        var queue = new Taskq("single", 1);
        Kthread? ran = null;
        var entry = new Entry(_ => ran = Kthread.Current);
        queue.Dispatch(entry);
        queue.Wait();
        Assert.Equal("single/0", ran?.Name);
        Assert.Equal(1, entry.Runs);
        queue.Destroy();
    }, osRounds: 20);

    [Fact]
    public void Eight_queues_do_not_mix_up_their_work() => Backends.Run(() =>
    {
        var queues = new Taskq[8];
        for (int i = 0; i < queues.Length; i++)
        {
            queues[i] = new Taskq($"multi{i}", 2);
        }

        for (int i = 0; i < 40; i++)
        {
            int n = i % 8;
            queues[n].Dispatch(() => Assert.StartsWith($"multi{n}/", Kthread.Current.Name, StringComparison.Ordinal));
        }

        foreach (Taskq q in queues)
        {
            q.Wait();
            Assert.Equal(0, q.QueuedCount);
            q.Destroy();
        }
    });

    [Fact]
    public void Wait_returns_after_everything_has_run() => Backends.Run(() =>
    {
        foreach (int count in new[] { 1, 4, 32 })
        {
            var queue = new Taskq("wait", 3);
            int ran = 0;
            for (int i = 0; i < count; i++)
            {
                queue.Dispatch(() => Katomic.Increment(ref ran));
            }

            queue.Wait();
            Assert.Equal(count, Katomic.Load(ref ran));
            queue.Destroy();
        }
    }, seeds: 20);

    [Fact]
    public void One_thread_keeps_the_order_and_front_entries_overtake() => Backends.Run(() =>
    {
        // splat 0x0206 with one thread: 1 to 3 keep the order, the urgent 6 to 8 overtake 4 and 5.
        var queue = new Taskq("front", 1);
        var gate = new Gate();
        queue.Dispatch(gate.Pass);
        gate.AwaitArrival();
        var order = new List<int>();
        foreach (int n in new[] { 1, 2, 3, 4, 5 })
        {
            queue.Dispatch(new Entry(_ => order.Add(n)));
        }

        foreach (int n in new[] { 6, 7, 8 })
        {
            queue.DispatchFront(new Entry(_ => order.Add(n)));
        }

        gate.Open();
        queue.Destroy();
        Assert.Equal([6, 7, 8, 1, 2, 3, 4, 5], order);
    });

    [Fact]
    public void WaitOutstanding_waits_for_the_older_ones_only() => Backends.Run(() =>
    {
        var queue = new Taskq("outstanding", 2);
        var gate = new Gate();
        int ran = 0;
        var entries = new Entry[4];
        for (int i = 0; i < 3; i++)
        {
            entries[i] = new Entry(_ => Katomic.Increment(ref ran));
            queue.Dispatch(entries[i]);
        }

        var blocked = new Entry(_ => gate.Pass());
        queue.Dispatch(blocked);
        Assert.Equal(entries[0].Id + 3, blocked.Id);
        queue.WaitOutstanding(entries[2].Id);
        Assert.Equal(3, Katomic.Load(ref ran));
        Assert.False(blocked.HasEnded);
        gate.Open();
        queue.WaitFor(blocked);
        Assert.True(blocked.HasEnded);
        queue.Destroy();
    });

    [Fact]
    public void An_entry_may_dispatch_itself_again() => Backends.Run(() =>
    {
        var queue = new Taskq("recurse", 2, maxQueued: 1);
        var entry = new Entry(self =>
        {
            if (self.Runs < 16)
            {
                queue.Dispatch(self);
            }
        });
        queue.Dispatch(entry);
        queue.Wait();
        Assert.Equal(16, entry.Runs);
        queue.Destroy();
    });

    [Fact]
    public void Every_entry_of_many_threads_runs_once() => Backends.Run(() =>
    {
        int perThread = Backends.IsSim ? 5 : 2000;
        var queue = new Taskq("contention", 3);
        int ran = 0;
        Backends.Parallel(Backends.IsSim ? 10 : 20, _ =>
        {
            for (int i = 0; i < perThread; i++)
            {
                queue.Dispatch(new Entry(_ => Katomic.Increment(ref ran)));
            }
        });
        queue.Destroy();
        Assert.Equal(perThread * (Backends.IsSim ? 10 : 20), ran);
    });

    [Fact]
    public void A_delayed_entry_never_runs_early_and_they_run_in_order_of_time() => Backends.Run(() =>
    {
        var queue = new Taskq("delay", 1);
        var order = new List<long>();
        long start = Kclock.NowNs;
        foreach (long delay in new[] { 5, 1, 3, 2, 4 })
        {
            long due = start + (delay * Ms / 3);
            queue.DispatchAt(new Entry(_ =>
            {
                Assert.True(Kclock.NowNs >= due);
                order.Add(delay);
            }), due);
        }

        queue.Wait();
        Assert.Equal([1, 2, 3, 4, 5], order);
        queue.Destroy();
    });

    [Fact]
    public void Cancel_takes_back_what_waits_and_waits_for_what_runs() => Backends.Run(() =>
    {
        var queue = new Taskq("cancel", 1);
        var gate = new Gate();
        var running = new Entry(_ => gate.Pass());
        var waiting = new Entry(static _ => { });
        var delayed = new Entry(static _ => { });
        queue.Dispatch(running);
        queue.Dispatch(waiting);
        queue.DispatchAt(delayed, Kclock.NowNs + (3_600_000 * Ms));
        gate.AwaitArrival();
        Assert.Equal(TaskqCancel.Cancelled, queue.Cancel(waiting));
        Assert.Equal(TaskqCancel.NotFound, queue.Cancel(waiting));
        Assert.Equal(TaskqCancel.Cancelled, queue.Cancel(delayed));
        Kthread canceller = Kthread.Current;
        Kthread opener = Kthread.Start("opener", () =>
        {
            while (!ReferenceEquals(canceller.WaitingFor, queue))
            {
                Kthread.Yield();
            }

            gate.Open();
        });
        Assert.Equal(TaskqCancel.WasRunning, queue.Cancel(running));
        Assert.Equal(1, running.Runs);
        Assert.Equal(TaskqCancel.NotFound, queue.Cancel(running));
        opener.Join();
        queue.Dispatch(waiting);
        queue.Destroy();
        Assert.Equal((1, 0), (waiting.Runs, delayed.Runs));
    });

    [Fact]
    public void Run_and_cancelled_add_up_to_dispatched() => Backends.Run(() =>
    {
        var queue = new Taskq("cancel_race", 2);
        var entries = new Entry[20];
        for (int i = 0; i < entries.Length; i++)
        {
            entries[i] = new Entry(static _ => Kthread.Yield());
            if (i % 3 == 0)
            {
                queue.DispatchAt(entries[i], Kclock.NowNs + 3000);
            }
            else
            {
                queue.Dispatch(entries[i]);
            }
        }

        int cancelled = 0;
        for (int i = 0; i < entries.Length; i += 2)
        {
            cancelled += queue.Cancel(entries[i]) == TaskqCancel.Cancelled ? 1 : 0;
        }

        queue.Destroy();
        Assert.Equal(entries.Length, cancelled + entries.Sum(static e => e.Runs));
    }, osRounds: 50);

    [Fact]
    public void A_full_queue_holds_back_the_dispatcher_and_refuses_a_try() => Backends.Run(() =>
    {
        var queue = new Taskq("bounded", 1, maxQueued: 2);
        var gate = new Gate();
        queue.Dispatch(gate.Pass);
        gate.AwaitArrival();
        int ran = 0;
        Assert.True(queue.TryDispatch(new Entry(_ => ran++)));
        Assert.True(queue.TryDispatch(new Entry(_ => ran++)));
        Assert.False(queue.TryDispatch(new Entry(_ => ran++)));
        Kthread blocked = Kthread.Start("blocked", () => queue.Dispatch(() => ran++));
        while (blocked.WaitingFor?.WaitName != "room in taskq bounded")
        {
            Kthread.Yield();
        }

        var owners = new List<Kthread>();
        blocked.WaitingFor.CollectOwners(owners);
        Assert.Equal("bounded/0", Assert.Single(owners).Name);
        gate.Open();
        blocked.Join();
        queue.Destroy();
        Assert.Equal(3, ran);
    });

    [SimFact]
    public void A_thread_that_ends_for_lack_of_work_hands_the_next_delayed_entry_on() => Backends.Run(static () =>
    {
        var queue = new Taskq("handover", 2, isDynamic: true);
        int here = 0;
        long start = Kclock.NowNs;
        foreach (long sleepMs in new[] { 0, 500 })
        {
            queue.Dispatch(() =>
            {
                Katomic.Increment(ref here);
                while (Katomic.Load(ref here) < 2)
                {
                    Kthread.Sleep(Ms / 100);
                }

                Kthread.Sleep(sleepMs * Ms);
            });
        }

        // One is idle from 0 to 1000 ms, the other, from 500 on, would sleep until 1500 ms.
        Kthread.Sleep(600 * Ms);
        Assert.Equal(2, queue.ThreadCount);
        long ranNs = 0;
        queue.DispatchAt(new Entry(_ => ranNs = Kclock.NowNs), start + (1200 * Ms));
        queue.Wait();
        Assert.InRange(ranNs - start, 1200 * Ms, 1201 * Ms);
        Assert.Equal(1, queue.ThreadCount);
        queue.Destroy();
    });

    [Fact]
    public void Queueing_twice_or_after_the_end_is_an_error() => Backends.Run(() =>
    {
        var queue = new Taskq("misuse", 1);
        var gate = new Gate();
        queue.Dispatch(gate.Pass);
        gate.AwaitArrival();
        var entry = new Entry(static _ => { });
        queue.Dispatch(entry);
        Assert.Throws<InvalidOperationException>(() => queue.Dispatch(entry));
        Assert.Throws<InvalidOperationException>(() => queue.DispatchAt(entry, 0));
        gate.Open();
        queue.Destroy();
        Assert.Throws<InvalidOperationException>(() => queue.Dispatch(entry));
    });

    [Fact]
    public void Threads_carry_the_marks_they_were_given() => Backends.Run(() =>
    {
        var marked = new Taskq("marked", 1);
        var sync = new Taskq("sync", 1, ThreadFlags.Fstrans | ThreadFlags.SyncPath);
        marked.Dispatch(static () => Assert.Equal(ThreadFlags.Fstrans, Kthread.Current.Flags));
        sync.Dispatch(static () => Assert.Equal(ThreadFlags.Fstrans | ThreadFlags.SyncPath, Kthread.Current.Flags));
        marked.Destroy();
        sync.Destroy();
    });

    private sealed class Entry(Action<Entry> body) : TaskqEntry
    {
        internal int Runs { get; private set; }

        internal bool HasEnded { get; private set; }

        protected internal override void Run()
        {
            Runs++;
            body(this);
            HasEnded = true;
        }
    }

    /// <summary>Holds a queue's thread up until it is opened.</summary>
    private sealed class Gate
    {
        private readonly Kmutex _mutex = new("test_gate");
        private readonly Kcondvar _cv = new("test_gate");
        private bool _arrived;
        private bool _open;

        internal void Pass()
        {
            _mutex.Enter();
            _arrived = true;
            _cv.Broadcast();
            while (!_open)
            {
                _cv.Wait(_mutex);
            }

            _mutex.Exit();
        }

        internal void AwaitArrival()
        {
            _mutex.Enter();
            while (!_arrived)
            {
                _cv.Wait(_mutex);
            }

            _mutex.Exit();
        }

        internal void Open()
        {
            _mutex.Enter();
            _open = true;
            _cv.Broadcast();
            _mutex.Exit();
        }
    }
}
