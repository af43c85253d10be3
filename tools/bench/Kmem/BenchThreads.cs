using ZfsLite.Kmem.Spl;

namespace ZfsLite.Bench.Kmem;

/// <summary>Threads that are kept between iterations, so that no start is measured. Each is on a virtual CPU of its own as far as
/// there are any.</summary>
internal sealed class BenchThreads : IDisposable
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
}
