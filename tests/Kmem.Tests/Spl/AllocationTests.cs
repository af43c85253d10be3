using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>In the steady state the primitives allocate nothing on the GC heap.</summary>
public class AllocationTests
{
    [OsFact]
    public void Locks_allocate_nothing()
    {
        var mutex = new Kmutex("alloc");
        var outer = new Kmutex("alloc_outer");
        var rw = new Krwlock("alloc_rw");
        AssertNone(() =>
        {
            outer.Enter();
            mutex.Enter();
            mutex.Exit();
            rw.EnterRead();
            rw.TryUpgrade();
            rw.Downgrade();
            rw.Exit();
            outer.Exit();
        });
    }

    [OsFact]
    public void Waiting_and_sleeping_allocate_nothing()
    {
        var mutex = new Kmutex("alloc");
        var cv = new Kcondvar("alloc");
        AssertNone(() =>
        {
            mutex.Enter();
            cv.WaitUntil(mutex, Kclock.NowNs + 1000);
            cv.Signal();
            cv.Broadcast();
            mutex.Exit();
            Kthread.Sleep(1000);
        });
    }

    [OsFact]
    public void Dispatching_a_kept_entry_allocates_nothing() => Backends.Run(() =>
    {
        var queue = new Taskq("alloc", 1);
        var entry = new Nothing();
        AssertNone(() =>
        {
            queue.Dispatch(entry);
            queue.WaitFor(entry);
        });
        long inQueue = entry.AllocatedBytes;
        queue.Dispatch(entry);
        queue.Wait();
        Assert.Equal(inQueue, entry.AllocatedBytes);
        queue.Destroy();
    });

    private static void AssertNone(Action action)
    {
        for (int i = 0; i < 200; i++)
        {
            action();
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 200; i++)
        {
            action();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private sealed class Nothing : TaskqEntry
    {
        internal long AllocatedBytes { get; private set; }

        protected internal override void Run() => AllocatedBytes = GC.GetAllocatedBytesForCurrentThread();
    }
}
