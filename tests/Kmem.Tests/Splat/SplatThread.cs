using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Splat;

/// <summary>splat thread, 0x0601 to 0x0603 (thread-specific data). Arena: none, threads allocate nothing from kmem.</summary>
public class SplatThread
{
    private const int Keys = 32;
    private const int Threads = 16;

    /// <summary>A created thread runs, once, and in a thread of its own.</summary>
    [Fact]
    public void T0601_create() => Backends.Run(static () =>
    {
        Kthread creator = Kthread.Current;
        int runs = 0;
        Kthread? self = null;
        Kthread thread = Kthread.Start("create", () =>
        {
            self = Kthread.Current;
            Katomic.Increment(ref runs);
        });
        while (Katomic.Load(ref runs) == 0)
        {
            Kthread.Yield();
        }

        thread.Join();
        Assert.Equal(1, runs);
        Assert.Same(thread, self);
        Assert.NotSame(creator, self);
    });

    /// <summary>A thread exits by returning (there is no thread_exit to be called deeper down): what comes after isn't run, Join
    /// returns, and the thread is off the record.</summary>
    [Fact]
    public void T0602_exit() => Backends.Run(static () =>
    {
        int state = 0;
        bool exits = true;
        Kthread thread = Kthread.Start("exit", () =>
        {
            Katomic.Store(ref state, 1);
            if (exits)
            {
                return;
            }

            Katomic.Store(ref state, 2);
        });
        thread.Join();
        Assert.Equal(1, Katomic.Load(ref state));
        Assert.DoesNotContain(thread, Kthread.All());
        Assert.Null(thread.WaitingFor);
    });

    /// <summary>
    /// 32 keys, 16 threads that wait and 16 that exit; each sets and verifies a value of its own under each key. The destructor runs
    /// once for each value: for those of a thread that ends before its Join returns, for those of one that lives when the key is
    /// destroyed, and never before.
    /// </summary>
    [Fact]
    public void T0603_tsd() => Backends.Run(
        static () =>
        {
            var mutex = new Kmutex("splat_thread");
            var cv = new Kcondvar("splat_thread");
            bool release = false;
            int ready = 0;
            var destroyed = new int[Keys];
            var keys = new TsdKey[Keys];
            for (int i = 0; i < Keys; i++)
            {
                int n = i;
                keys[n] = new TsdKey(value => Katomic.Add(ref destroyed[n], value is Kthread ? 1 : 1000));
            }

            Kthread[] waiting = Start(() =>
            {
                SetAll(keys);
                mutex.Enter();
                ready++;
                cv.Broadcast();
                while (!release)
                {
                    cv.Wait(mutex);
                }

                mutex.Exit();
                Assert.Throws<InvalidOperationException>(() => keys[0].Value);
            });
            mutex.Enter();
            while (ready < Threads)
            {
                cv.Wait(mutex);
            }

            mutex.Exit();
            Assert.All(destroyed, static n => Assert.Equal(0, n));

            JoinAll(Start(() => SetAll(keys)));
            Assert.All(destroyed, static n => Assert.Equal(Threads, n));

            foreach (TsdKey key in keys)
            {
                key.Destroy();
            }

            Assert.All(destroyed, static n => Assert.Equal(2 * Threads, n));
            mutex.Enter();
            release = true;
            cv.Broadcast();
            mutex.Exit();
            JoinAll(waiting);
            Assert.All(destroyed, static n => Assert.Equal(2 * Threads, n));
        },
        seeds: 10);

    private static void SetAll(TsdKey[] keys)
    {
        var values = new object[keys.Length];
        for (int i = 0; i < keys.Length; i++)
        {
            Assert.Null(keys[i].Value);
            keys[i].Value = values[i] = new object();
        }

        for (int i = 0; i < keys.Length; i++)
        {
            Assert.Same(values[i], keys[i].Value);
            keys[i].Value = Kthread.Current;
        }
    }

    private static Kthread[] Start(Action body)
    {
        var threads = new Kthread[Threads];
        for (int i = 0; i < Threads; i++)
        {
            threads[i] = Kthread.Start($"tsd{i}", body);
        }

        return threads;
    }

    private static void JoinAll(Kthread[] threads)
    {
        foreach (Kthread t in threads)
        {
            t.Join();
        }
    }
}
