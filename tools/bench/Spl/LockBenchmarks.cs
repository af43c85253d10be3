using BenchmarkDotNet.Attributes;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Bench.Spl;

/// <summary>Uncontended locks: a pair of enter and exit. Budget: 30 ns, nothing allocated.</summary>
public class LockBenchmarks
{
    private const int Pairs = 1000;

    private readonly Kmutex _mutex = new("bench");
    private readonly Kmutex _outer = new("bench_outer");
    private readonly Krwlock _rw = new("bench_rw");
    private readonly object _monitor = new();
    private long _value;

    /// <summary>A Kmutex, nothing else held.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void MutexPair()
    {
        for (int i = 0; i < Pairs; i++)
        {
            _mutex.Enter();
            _mutex.Exit();
        }
    }

    /// <summary>A Kmutex under another one: the lock-order check included.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void MutexPairUnderAnother()
    {
        _outer.Enter();
        for (int i = 0; i < Pairs; i++)
        {
            _mutex.Enter();
            _mutex.Exit();
        }

        _outer.Exit();
    }

    /// <summary>A Krwlock for reading.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void ReadPair()
    {
        for (int i = 0; i < Pairs; i++)
        {
            _rw.EnterRead();
            _rw.Exit();
        }
    }

    /// <summary>A Krwlock for writing.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void WritePair()
    {
        for (int i = 0; i < Pairs; i++)
        {
            _rw.EnterWrite();
            _rw.Exit();
        }
    }

    /// <summary>The framework's own lock, for comparison.</summary>
    [Benchmark(Baseline = true, OperationsPerInvoke = Pairs)]
    public void MonitorPair()
    {
        for (int i = 0; i < Pairs; i++)
        {
            lock (_monitor)
            {
            }
        }
    }

    /// <summary>One atomic addition.</summary>
    [Benchmark(OperationsPerInvoke = Pairs)]
    public void AtomicAdd()
    {
        for (int i = 0; i < Pairs; i++)
        {
            Katomic.Increment(ref _value);
        }
    }
}
