using BenchmarkDotNet.Attributes;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Bench.Spl;

/// <summary>The simulator: a switch, a point without one, a small run. Needs ZFSLITE_SPL=sim.</summary>
public class SimBenchmarks
{
    private const int Steps = 10_000;

    private ulong _seed;

    /// <summary>Every point switches between two threads.</summary>
    [Benchmark(OperationsPerInvoke = Steps)]
    public SimOutcome Switch() => SimWorld.Run(new SimOptions { MaxSteps = Steps, SwitchProbability = 1, RecordStacks = false }, static () =>
    {
        Kthread.Start("other", Spin);
        Spin();
    }).Outcome;

    /// <summary>Points of a thread that is alone.</summary>
    [Benchmark(OperationsPerInvoke = Steps)]
    public SimOutcome Point() => SimWorld.Run(new SimOptions { MaxSteps = Steps, RecordStacks = false }, Spin).Outcome;

    /// <summary>A whole run: three threads, a few locks each, another seed every time.</summary>
    [Benchmark]
    public SimOutcome SmallRun() => SimWorld.Run(new SimOptions { Seed = ++_seed }, static () =>
    {
        var mutex = new Kmutex("bench_sim");
        Kthread a = Kthread.Start("a", Body);
        Kthread b = Kthread.Start("b", Body);
        Body();
        a.Join();
        b.Join();

        void Body()
        {
            for (int i = 0; i < 3; i++)
            {
                mutex.Enter();
                mutex.Exit();
            }
        }
    }).Outcome;

    private static void Spin()
    {
        long value = 0;
        while (true)
        {
            Katomic.Increment(ref value);
        }
    }
}
