using ZfsLite.Kmem.Spl;

namespace ZfsLite.Tests.Spl;

/// <summary>Bodies for the simulator: a busy one, and three with planted faults.</summary>
internal static class SimBodies
{
    /// <summary>Everything at once: locks, conditions, timeouts, task queues, random numbers.</summary>
    internal static SimResult Busy(ulong seed, SimStrategy strategy) =>
        SimWorld.Run(new SimOptions { Seed = seed, Strategy = strategy, PctHorizon = 300 }, BusyBody);

    internal static void BusyBody()
    {
        var mutex = new Kmutex("busy");
        var rw = new Krwlock("busy_rw");
        var cv = new Kcondvar("busy");
        var queue = new Taskq("busy", 2);
        int turns = 0;
        var threads = new Kthread[3];
        for (int i = 0; i < threads.Length; i++)
        {
            int n = i;
            threads[i] = Kthread.Start($"busy{n}", () =>
            {
                for (int k = 0; k < 10; k++)
                {
                    mutex.Enter();
                    turns++;
                    cv.WaitUntil(mutex, Kclock.NowNs + Krandom.Next(5000));
                    cv.Broadcast();
                    mutex.Exit();
                    rw.EnterRead();
                    SimWorld.Trace((turns * 8) + n);
                    rw.Exit();
                    queue.Dispatch(() => Kthread.Sleep(Krandom.Next(1000)));
                }
            });
        }

        foreach (Kthread t in threads)
        {
            t.Join();
        }

        queue.Destroy();
    }

    /// <summary>Catches what it must not, for ever.</summary>
    internal static void Swallow()
    {
        var mutex = new Kmutex("swallow");
        var cv = new Kcondvar("swallow");
        mutex.Enter();
        while (true)
        {
            try
            {
                cv.Wait(mutex);
            }
            catch (SimAbortException)
            {
            }
        }
    }

    /// <summary>The flag is tested outside the lock that the signaller holds: the signal may come between test and wait.</summary>
    internal static void LostWakeUp()
    {
        var mutex = new Kmutex("lost");
        var cv = new Kcondvar("lost");
        int flag = 0;
        Kthread waiter = Kthread.Start("waiter", () =>
        {
            if (Katomic.Load(ref flag) == 0)
            {
                mutex.Enter();
                cv.Wait(mutex);
                mutex.Exit();
            }
        });
        Katomic.Store(ref flag, 1);
        mutex.Enter();
        cv.Signal();
        mutex.Exit();
        waiter.Join();
    }

    /// <summary>Two locks in opposite orders.</summary>
    internal static void Abba()
    {
        var a = new Kmutex("abba_a");
        var b = new Kmutex("abba_b");
        Kthread other = Kthread.Start("other", () => Both(b, a));
        Both(a, b);
        other.Join();

        static void Both(Kmutex first, Kmutex second)
        {
            first.Enter();
            second.Enter();
            second.Exit();
            first.Exit();
        }
    }

    /// <summary>Read and write are each under the lock, the update as a whole isn't.</summary>
    internal static void SplitUpdate()
    {
        var mutex = new Kmutex("split");
        int value = 0;
        Kthread other = Kthread.Start("other", Add);
        Add();
        other.Join();
        if (value != 2)
        {
            throw new InvalidOperationException($"an update is lost: {value}");
        }

        void Add()
        {
            mutex.Enter();
            int seen = value;
            mutex.Exit();
            mutex.Enter();
            value = seen + 1;
            mutex.Exit();
        }
    }
}
