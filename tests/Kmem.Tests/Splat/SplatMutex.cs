using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Splat;

/// <summary>splat mutex, 0x0401 to 0x0404. Arena: none, a lock allocates nothing from kmem.</summary>
public class SplatMutex
{
    private const long Ms = 1_000_000;

    /// <summary>mutex_tryenter in another thread: EBUSY (false) while the mutex is held, 0 (true) once it is free.</summary>
    [Fact]
    public void T0401_tryenter() => Backends.Run(static () =>
    {
        var mutex = new Kmutex("splat_mutex");
        var queue = new Taskq("mutex_taskq", 1);
        bool entered = true;
        mutex.Enter();
        queue.Dispatch(Try);
        queue.Wait();
        Assert.False(entered);
        mutex.Exit();
        queue.Dispatch(Try);
        queue.Wait();
        Assert.True(entered);
        queue.Destroy();
        Assert.True(mutex.TryEnter());
        mutex.Exit();

        void Try()
        {
            entered = mutex.TryEnter();
            if (entered)
            {
                mutex.Exit();
            }
        }
    });

    /// <summary>256 tasks; each sleeps for 10 ms inside between reading and writing.</summary>
    [Fact]
    public void T0402_race() => Backends.Run(
        static () =>
        {
            const int tasks = 256;
            var mutex = new Kmutex("splat_mutex");
            var queue = new Taskq("mutex_taskq", Kthread.CpuCount);
            int count = 0;
            for (int i = 0; i < tasks; i++)
            {
                queue.Dispatch(() =>
                {
                    mutex.Enter();
                    int seen = count;
                    Kthread.Sleep(10 * Ms);
                    Assert.Equal(seen, count);
                    count = seen + 1;
                    mutex.Exit();
                });
            }

            queue.Destroy();
            Assert.Equal(tasks, count);
        },
        seeds: 10);

    /// <summary>mutex_owned is true for the holder alone, and only while it holds.</summary>
    [Fact]
    public void T0403_owned() => Backends.Run(static () =>
    {
        var mutex = new Kmutex("splat_mutex");
        var queue = new Taskq("mutex_taskq", 1);
        bool ownedElsewhere = true;
        mutex.Enter();
        Assert.True(mutex.IsHeld);
        queue.Dispatch(() => { ownedElsewhere = mutex.IsHeld; });
        queue.Wait();
        Assert.False(ownedElsewhere);
        mutex.Exit();
        Assert.False(mutex.IsHeld);

        queue.Dispatch(() =>
        {
            mutex.Enter();
            ownedElsewhere = mutex.IsHeld;
        });
        queue.Wait();
        Assert.True(ownedElsewhere);
        Assert.False(mutex.IsHeld);
        queue.Dispatch(mutex.Exit);
        queue.Destroy();
        Assert.False(mutex.IsHeld);
    });

    /// <summary>mutex_owner names the holder, and nobody when the mutex is free.</summary>
    [Fact]
    public void T0404_owner() => Backends.Run(static () =>
    {
        var mutex = new Kmutex("splat_mutex");
        Assert.Null(mutex.Owner);
        mutex.Enter();
        Assert.Same(Kthread.Current, mutex.Owner);
        mutex.Exit();
        Assert.Null(mutex.Owner);

        var queue = new Taskq("mutex_taskq", 1);
        queue.Dispatch(mutex.Enter);
        queue.Wait();
        Assert.Equal("mutex_taskq/0", mutex.Owner?.Name);
        queue.Dispatch(mutex.Exit);
        queue.Destroy();
        Assert.Null(mutex.Owner);
    });
}
