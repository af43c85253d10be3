using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Spl;

/// <summary>What only real parallel threads can break: memory order, wake-ups that cross, strays. A hang is a failure.</summary>
public class RealThreadTests
{
    [OsFact]
    public void A_rwlock_keeps_its_promise_under_every_operation_at_once() => Backends.Run(() =>
    {
        var rw = new Krwlock("real_rw");
        int readers = 0;
        int writers = 0;
        int upgraded = 0;
        Backends.Parallel(5, n =>
        {
            var random = new SplRandom((ulong)n + 1);
            for (int i = 0; i < 20_000; i++)
            {
                int what = random.Below(8);
                if (what < 4 || (what == 4 && rw.TryEnterRead()))
                {
                    if (what < 4)
                    {
                        rw.EnterRead();
                    }

                    Read();
                    if (what == 0 && rw.TryUpgrade())
                    {
                        Interlocked.Increment(ref upgraded);
                        Write();
                    }

                    rw.Exit();
                }
                else if (what > 5 || (what == 5 && rw.TryEnterWrite()))
                {
                    if (what > 5)
                    {
                        rw.EnterWrite();
                    }

                    Write();
                    if (what == 6)
                    {
                        rw.Downgrade();
                        Read();
                    }

                    rw.Exit();
                }
            }
        });
        Assert.True(rw.TryEnterWrite());
        rw.Exit();
        Assert.True(upgraded > 0);

        void Read()
        {
            Interlocked.Increment(ref readers);
            Assert.Equal(0, Volatile.Read(ref writers));
            Interlocked.Decrement(ref readers);
        }

        void Write()
        {
            Assert.Equal(1, Interlocked.Increment(ref writers));
            Assert.Equal(0, Volatile.Read(ref readers));
            Interlocked.Decrement(ref writers);
        }
    });

    [OsFact]
    public void Tokens_pass_through_timed_waits_without_loss() => Backends.Run(() =>
    {
        const int Tokens = 20_000;
        var mutex = new Kmutex("real_tokens");
        var cv = new Kcondvar("real_tokens");
        int made = 0;
        int taken = 0;
        Backends.Parallel(4, n =>
        {
            var random = new SplRandom((ulong)n + 1);
            mutex.Enter();
            while (n == 0 ? made < Tokens : taken < Tokens)
            {
                if (n == 0)
                {
                    made++;
                    cv.Signal();
                    mutex.Exit();
                    mutex.Enter();
                }
                else if (made > taken)
                {
                    taken++;
                }
                else if (made == Tokens)
                {
                    cv.Broadcast();
                    break;
                }
                else
                {
                    cv.WaitUntil(mutex, n == 1 ? long.MaxValue : Kclock.NowNs + random.Below(30_000));
                }
            }

            cv.Broadcast();
            mutex.Exit();
        });
        Assert.Equal(Tokens, taken);
    });

    [OsFact]
    public void Two_threads_take_turns_without_a_time_limit() => Backends.Run(() =>
    {
        var mutex = new Kmutex("real_turns");
        var cv = new Kcondvar("real_turns");
        int turn = 0;
        Backends.Parallel(2, n =>
        {
            mutex.Enter();
            for (int i = 0; i < 5_000; i++)
            {
                while (turn % 2 != n)
                {
                    cv.Wait(mutex);
                }

                turn++;
                cv.Signal();
            }

            mutex.Exit();
        });
        Assert.Equal(10_000, turn);
    });
}
