using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Splat;

/// <summary>splat condvar, 0x0501 to 0x0505: eight waiting threads. Arena: none, a condition variable allocates nothing from kmem.</summary>
public class SplatCondvar
{
    private const long Ms = 1_000_000;
    private const int Threads = 8;
    private const long LongNs = 3000 * Ms;

    /// <summary>cv_wait; each cv_signal wakes exactly one.</summary>
    [Fact]
    public void T0501_signal1() => Backends.Run(static () => SignalEach(long.MaxValue));

    /// <summary>cv_wait; one cv_broadcast wakes all.</summary>
    [Fact]
    public void T0502_broadcast1() => Backends.Run(static () => BroadcastOnce(long.MaxValue));

    /// <summary>cv_timedwait of 3 s; each cv_signal wakes exactly one, and none times out.</summary>
    [Fact]
    public void T0503_signal2() => Backends.Run(static () => SignalEach(Backends.IsSim ? LongNs : 20 * LongNs));

    /// <summary>cv_timedwait of 3 s; one cv_broadcast wakes all (upstream's own test signalled them one by one), and none times
    /// out.</summary>
    [Fact]
    public void T0504_broadcast2() => Backends.Run(static () => BroadcastOnce(Backends.IsSim ? LongNs : 20 * LongNs));

    /// <summary>cv_timedwait of 1 s that nobody signals: it says so, not before its time, in virtual time at it.</summary>
    [Fact]
    public void T0505_timeout() => Backends.Run(static () =>
    {
        var mutex = new Kmutex("splat_condvar");
        var cv = new Kcondvar("splat_condvar");
        mutex.Enter();
        long start = Kclock.NowNs;
        Assert.False(cv.WaitUntil(mutex, start + (1000 * Ms)));
        long took = Kclock.NowNs - start;
        Assert.True(mutex.IsHeld);
        mutex.Exit();
        Assert.InRange(took, 1000 * Ms, Backends.IsSim ? 1001 * Ms : 30_000 * Ms);
    });

    private static void SignalEach(long timeoutNs)
    {
        var waiters = new Waiters(timeoutNs);
        for (int i = 1; i <= Threads; i++)
        {
            waiters.Wake(static cv => cv.Signal());
            waiters.AwaitWoken(i);
            Assert.Equal(Threads - i, waiters.Asleep());
            Assert.Equal(i, waiters.Woken());
        }

        waiters.End();
    }

    private static void BroadcastOnce(long timeoutNs)
    {
        var waiters = new Waiters(timeoutNs);
        waiters.Wake(static cv => cv.Broadcast());
        waiters.AwaitWoken(Threads);
        waiters.End();
    }

    /// <summary>The threads that wait; all do when the constructor returns.</summary>
    private sealed class Waiters
    {
        private readonly Kmutex _mutex = new("splat_condvar");
        private readonly Kcondvar _cv = new("splat_condvar");
        private readonly Kthread[] _threads = new Kthread[Threads];
        private int _woken;
        private int _timedOut;

        internal Waiters(long timeoutNs)
        {
            for (int i = 0; i < Threads; i++)
            {
                _threads[i] = Kthread.Start($"condvar/{i}", () =>
                {
                    _mutex.Enter();
                    long deadline = timeoutNs == long.MaxValue ? long.MaxValue : Kclock.NowNs + timeoutNs;
                    _timedOut += _cv.WaitUntil(_mutex, deadline) ? 0 : 1;
                    Assert.True(_mutex.IsHeld);
                    _woken++;
                    _mutex.Exit();
                });
            }

            while (Asleep() < Threads)
            {
                Kthread.Sleep(Ms);
            }

            Assert.Equal(0, Woken());
        }

        internal int Asleep() => _threads.Count(t => ReferenceEquals(t.WaitingFor, _cv));

        internal int Woken()
        {
            _mutex.Enter();
            int woken = _woken;
            _mutex.Exit();
            return woken;
        }

        internal void Wake(Action<Kcondvar> how)
        {
            _mutex.Enter();
            how(_cv);
            _mutex.Exit();
        }

        internal void AwaitWoken(int count)
        {
            while (Woken() < count)
            {
                Kthread.Sleep(Ms);
            }
        }

        internal void End()
        {
            foreach (Kthread t in _threads)
            {
                t.Join();
            }

            Assert.Equal(Threads, _woken);
            Assert.Equal(0, _timedOut);
            Assert.False(_cv.HasWaiters);
        }
    }
}
