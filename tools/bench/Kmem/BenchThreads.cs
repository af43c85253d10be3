using System.Runtime.InteropServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Bench.Kmem;

/// <summary>
/// Threads that are kept between iterations, so that no start is measured. Each is on a virtual CPU of its own as far as there are any,
/// and bound to a processor: left to itself the scheduler lets two threads that wait for each other share one for seconds.
/// </summary>
internal sealed unsafe partial class BenchThreads : IDisposable
{
    private readonly Barrier _start;
    private readonly Barrier _end;
    private readonly Kthread[] _threads;
    private bool _ended;

    internal BenchThreads(int count, Action<int> work)
    {
        _start = new Barrier(count + 1);
        _end = new Barrier(count + 1);
        _threads = [.. Enumerable.Range(0, count).Select(i => Kthread.Start($"bench/{i}", () =>
        {
            Bind(i % Environment.ProcessorCount);
            while (true)
            {
                _start.SignalAndWait();
                if (_ended)
                {
                    return;
                }

                work(i);
                _end.SignalAndWait();
            }
        }))];
    }

    public void Dispose()
    {
        _ended = true;
        _start.SignalAndWait();
        foreach (Kthread thread in _threads)
        {
            thread.Join();
        }

        _start.Dispose();
        _end.Dispose();
    }

    /// <summary>Lets each do its work once.</summary>
    internal void RunAll()
    {
        _start.SignalAndWait();
        _end.SignalAndWait();
    }

    /// <summary>Where that is not allowed, it stays unbound.</summary>
    private static void Bind(int processor)
    {
        ulong mask = 1UL << (processor % 64);
        _ = SchedSetAffinity(0, sizeof(ulong), &mask);
    }

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static partial int SchedSetAffinity(int thread, nuint bytes, ulong* mask);
}
