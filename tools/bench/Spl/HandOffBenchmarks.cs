using BenchmarkDotNet.Attributes;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Bench.Spl;

/// <summary>What it costs to wake another thread. OS back end.</summary>
public class HandOffBenchmarks
{
    private const int Turns = 1000;

    private readonly Kmutex _mutex = new("bench_turn");
    private readonly Kcondvar _cv = new("bench_turn");
    private Taskq _queue = null!;
    private Entry _entry = null!;
    private int _turn;

    /// <summary>Starts the queue's thread.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _queue = new Taskq("bench", 1);
        _entry = new Entry();
    }

    /// <summary>Ends it.</summary>
    [GlobalCleanup]
    public void Cleanup() => _queue.Destroy();

    /// <summary>Dispatch of a kept entry and the wait for its end: two wake-ups.</summary>
    [Benchmark]
    public void TaskqDispatchAndWait()
    {
        _queue.Dispatch(_entry);
        _queue.WaitFor(_entry);
    }

    /// <summary>Two threads take turns by a condition variable; starting and joining them is shared by 2000 turns.</summary>
    [Benchmark(OperationsPerInvoke = 2 * Turns)]
    public void CondvarTurn()
    {
        _turn = 0;
        Kthread a = Kthread.Start("bench_a", () => TakeTurns(0));
        Kthread b = Kthread.Start("bench_b", () => TakeTurns(1));
        a.Join();
        b.Join();
    }

    /// <summary>Start and join of a thread.</summary>
    [Benchmark]
    public void ThreadStartAndJoin() => Kthread.Start("bench", static () => { }).Join();

    private void TakeTurns(int me)
    {
        _mutex.Enter();
        for (int i = 0; i < Turns; i++)
        {
            while (_turn != me)
            {
                _cv.Wait(_mutex);
            }

            _turn = 1 - me;
            _cv.Signal();
        }

        _mutex.Exit();
    }

    private sealed class Entry : TaskqEntry
    {
        protected override void Run()
        {
        }
    }
}
