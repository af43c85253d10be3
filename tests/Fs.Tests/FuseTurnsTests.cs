using Xunit;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace Fs.Tests;

/// <summary>Who reads requests: the turns of the workers.</summary>
public sealed class FuseTurnsTests
{
    private const int Seeds = 20;

    [Fact]
    public void One_at_a_time_has_the_turn_and_everybody_gets_it() => Backends.Run(() =>
    {
        var turns = new FuseTurns(1);
        int inside = 0;
        int most = 0;
        int[] served = new int[4];
        Kthread[] threads = [.. Enumerable.Range(0, served.Length).Select(i => Kthread.Start($"worker/{i}", () =>
        {
            for (int n = 0; n < 20; n++)
            {
                turns.Take(expected: false);
                most = Math.Max(most, Katomic.Increment(ref inside));
                served[i]++;
                Katomic.Decrement(ref inside);
                turns.Give();
            }
        }))];
        foreach (Kthread thread in threads)
        {
            thread.Join();
        }

        Assert.Equal(1, most);
        Assert.All(served, static n => Assert.Equal(20, n));
        Assert.Equal((0, 0), (turns.Active, turns.Followers));
    }, Seeds);

    [Fact]
    public void Waiting_requests_bring_a_second_reader_which_retires_when_there_are_none() => Backends.Run(() =>
    {
        var turns = new FuseTurns(2);
        turns.Take(expected: false);
        Assert.False(turns.TryRetire());
        turns.Expect();
        bool retired = false;
        Kthread follower = Kthread.Start("follower", () =>
        {
            turns.Take(expected: true);
            retired = turns.TryRetire();
        });
        Assert.Equal((1, 1), (turns.Active, turns.Followers));
        turns.Want();
        follower.Join();
        Assert.True(retired);
        Assert.Equal((1, 0), (turns.Active, turns.Followers));

        // Back to one turn: a follower waits again.
        Kthread next = Kthread.Start("next", () => turns.Take(expected: false));
        WaitForFollower(turns);
        Assert.Equal(1, turns.Active);
        turns.Give();
        next.Join();
        Assert.Equal(1, turns.Active);
    }, Seeds);

    [Fact]
    public void A_holder_that_is_stuck_is_passed_by_and_one_that_works_is_not() => Backends.Run(() =>
    {
        var turns = new FuseTurns(1);
        turns.Take(expected: false);
        Kthread follower = Kthread.Start("follower", () => turns.Take(expected: false));
        WaitForFollower(turns);
        turns.Tick(reading: false, handled: 5);
        turns.Tick(reading: false, handled: 6);
        turns.Tick(reading: true, handled: 6);
        turns.Tick(reading: false, handled: 6);
        Assert.Equal((1, 1), (turns.Active, turns.Followers));
        turns.Tick(reading: false, handled: 6);
        follower.Join();
        Assert.Equal((2, 0), (turns.Active, turns.Followers));
        Assert.True(turns.TryRetire());
        Assert.False(turns.TryRetire());
    }, Seeds);

    [Fact]
    public void A_thread_tells_before_it_blocks_and_only_then() => Backends.Run(() =>
    {
        var mutex = new Kmutex("test_before_block");
        var condition = new Kcondvar("test_before_block");
        var shared = new Krwlock("test_before_block_rw");
        int told = 0;
        bool go = false;
        Kthread waiter = Kthread.Start("waiter", () =>
        {
            Kthread.Current.BeforeBlock = () => told++;
            mutex.Enter();
            mutex.Exit();
            shared.EnterRead();
            shared.Exit();
            Assert.Equal(0, told);
            mutex.Enter();
            while (!go)
            {
                condition.Wait(mutex);
            }

            mutex.Exit();
            Assert.NotEqual(0, told);
            int before = told;
            Kthread.Sleep(1000);
            Assert.Equal(before + 1, told);
            Kthread.AboutToBlock();
            Assert.Equal(before + 2, told);
        });
        while (!condition.HasWaiters)
        {
            Kthread.Sleep(100_000);
        }

        mutex.Enter();
        go = true;
        condition.Signal();
        mutex.Exit();
        waiter.Join();
    }, Seeds);

    private static void WaitForFollower(FuseTurns turns)
    {
        while (turns.Followers == 0)
        {
            Kthread.Sleep(100_000);
        }
    }
}
