using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

public sealed unsafe class MempoolTests
{
    private const int Size = 16384;

    [Fact]
    public void While_there_is_memory_the_reserve_is_not_touched() => Run(system =>
    {
        Mempool pool = Mempool.OfSize("p", Size, 2);
        byte*[] e = [pool.Alloc(KmFlags.Sleep), pool.Alloc(KmFlags.NoSleep), Another(pool, KmFlags.PushPage)];
        MempoolStats s = pool.Statistics();
        Assert.Equal((2, 3, 3, 0), (s.InReserve, s.Out, s.Allocs, s.FromReserve));
        foreach (byte* p in e)
        {
            new Span<byte>(p, Size).Fill(7);
            pool.Free(p);
        }

        Assert.Equal((2, 0L, 2), (pool.InReserve, pool.Statistics().Out, pool.Statistics().LowWater));
        pool.Destroy();
    });

    [Theory]
    [InlineData(KmFlags.NoSleep)]
    [InlineData(KmFlags.PushPage)]
    public void The_reserve_goes_before_anything_is_reclaimed(KmFlags flags) => Run(system =>
    {
        Mempool pool = Mempool.OfSize("p", Size, 2);
        var hoard = new PageHoard { IgnoresKswapd = true };
        Shrinkers.Register(hoard);
        hoard.FillTo(system, 4);
        byte* a = pool.Alloc(flags);
        byte* b = Another(pool, flags);
        Assert.True(a != null && b != null && a != b);
        Assert.Empty(hoard.Calls);
        Assert.Equal((0, 2, 0), (pool.InReserve, pool.Statistics().FromReserve, pool.Statistics().LowWater));

        // Only now, and only by one who may wait.
        byte* c = Another(pool, flags);
        Assert.Equal((flags & KmFlags.NoSleep) == 0, c != null);
        Assert.Equal((flags & KmFlags.NoSleep) == 0, hoard.Calls.Count > 0);
        Assert.Equal(c != null ? 1 : 0, pool.Statistics().FromRetry);
        Assert.Equal(c != null ? 0 : 1, pool.Statistics().Refused);
        Assert.Equal(0, pool.Statistics().Waits);
        hoard.Drop(system);
        Shrinkers.Unregister(hoard);
        Free(pool, a, b, c);
        Assert.Equal(2, pool.InReserve);
        pool.Destroy();
    });

    [Fact]
    public void A_reclaimer_takes_from_the_pool_before_it_takes_the_last_pages() => Run(system =>
    {
        Mempool pool = Mempool.OfSize("p", Size, 1);
        var hoard = new PageHoard { IgnoresKswapd = true, NeedsFs = true };
        Shrinkers.Register(hoard);
        hoard.FillTo(system, 64);
        Kthread.Current.Flags |= ThreadFlags.Memalloc;
        byte* a = pool.Alloc(KmFlags.NoSleep);
        Assert.Equal(1, pool.Statistics().FromReserve);
        Assert.Equal(ThreadFlags.Memalloc, Kthread.Current.Flags & (ThreadFlags.Memalloc | ThreadFlags.NoMemalloc));
        byte* plain = KmemAllocator.Alloc(Size, KmFlags.NoSleep);
        Kthread.Current.Flags &= ~ThreadFlags.Memalloc;
        Assert.True(plain != null);
        KmemAllocator.Free(plain, Size);
        hoard.Drop(system);
        Shrinkers.Unregister(hoard);
        pool.Free(a);
        pool.Destroy();
    });

    [Fact]
    public void A_waiter_gets_the_element_that_comes_back() => Run(system =>
    {
        Mempool pool = Mempool.OfSize("p", Size, 1);
        using var fault = new AllocationFault(static _ => true);
        byte* only = pool.Alloc(KmFlags.Sleep);
        *(int*)only = 12345;
        byte* got = null;
        Kthread waiter = Kthread.Start("waiter", () =>
        {
            got = pool.Alloc(KmFlags.Sleep);
            pool.Free(got);
        });
        KmemWorld.Until(() => waiter.WaitingFor is { } w && w.WaitName.Contains("memory pool p", StringComparison.Ordinal), "the wait");
        Assert.Contains("held by " + Kthread.Current, waiter.WaitingFor!.WaitName, StringComparison.Ordinal);
        long since = waiter.WaitSinceNs;
        KmemWorld.Until(() => Kclock.NowNs > since + 50_000_000, "a while");
        Assert.True(got == null);
        pool.Free(only);
        waiter.Join();
        Assert.True(got == only);
        MempoolStats s = pool.Statistics();
        Assert.Equal((1, 1), (s.InReserve, s.Waits));
        Assert.InRange(s.WaitNs, 50_000_000, 20_000_000_000);
        pool.Destroy();
    });

    [SimFact]
    public void A_wait_lasts_five_seconds_and_then_the_allocator_is_asked_again() => Run(system =>
    {
        Mempool pool = Mempool.OfSize("p", Size, 1);
        var fault = new AllocationFault(static _ => true);
        byte* only = pool.Alloc(KmFlags.Sleep);
        long took = 0;
        bool named = false;
        Kthread waiter = Kthread.Start("waiter", () =>
        {
            long start = Kclock.NowNs;
            byte* got = pool.Alloc(KmFlags.Sleep);
            took = Kclock.NowNs - start;
            pool.Free(got);
        });
        var owners = new List<Kthread>();
        KmemWorld.Until(() => waiter.WaitingFor is not null, "the wait");
        waiter.WaitingFor!.CollectOwners(owners);
        Assert.Empty(owners);
        Kthread.Sleep(Mempool.WaitMaxNs + 100_000_000);
        waiter.WaitingFor!.CollectOwners(owners);
        named = owners.Contains(Kthread.Current);
        fault.Dispose();
        waiter.Join();
        Assert.True(named);
        Assert.InRange(took, 2 * Mempool.WaitMaxNs, (2 * Mempool.WaitMaxNs) + 1_000_000_000);
        pool.Free(only);
        pool.Destroy();
    });

    [Fact]
    public void What_was_never_in_the_reserve_refills_it() => Run(system =>
    {
        KmemCache cache = KmemCache.Create("donor", Size);
        Mempool pool = Mempool.OfCache("p", cache, 2);
        byte* donation = cache.Alloc(KmFlags.Sleep);
        Assert.False(pool.TryDonate(donation));
        byte* a;
        byte* b;
        using (new AllocationFault(static _ => true))
        {
            a = pool.Draw(KmFlags.NoSleep);
            b = pool.Draw(KmFlags.NoSleep);
            Assert.True(pool.IsLow);
            Assert.True(pool.Draw(KmFlags.NoSleep) == null);
        }

        Assert.Equal(0, pool.Statistics().Out);
        Assert.True(pool.TryDonate(donation));
        Assert.True(pool.TryDonate(a));
        Assert.False(pool.TryDonate(b));
        cache.Free(b);
        pool.Destroy();
        cache.Destroy();
    });

    [Fact]
    public void Growing_fills_and_shrinking_frees() => Run(system =>
    {
        KmemCache cache = KmemCache.Create("donor", Size);
        Mempool pool = Mempool.OfCache("p", cache, 2);
        pool.Resize(5);
        Assert.Equal((5, 5, 5), (pool.MinElements, pool.InReserve, pool.Statistics().LowWater));
        Assert.Equal(5, cache.Statistics().ObjectsAllocated);
        pool.Resize(1);
        Assert.Equal((1, 1), (pool.MinElements, pool.InReserve));
        Assert.Equal(1, cache.Statistics().ObjectsAllocated);
        Assert.Throws<ArgumentOutOfRangeException>(() => pool.Resize(0));
        pool.Destroy();
        cache.Destroy();
    });

    [Fact]
    public void Pools_of_pages_and_of_any_size_give_their_memory_back() => Run(system =>
    {
        Mempool pages = Mempool.OfPages("pages", 1, 3);
        Mempool bytes = Mempool.OfSize("bytes", 100, 3);
        byte* page = pages.Alloc(KmFlags.Sleep);
        byte* small = Another(bytes, KmFlags.Sleep);
        Assert.Equal(0, (long)page & 4095);
        Assert.Equal((4096, 100), (pages.ElementBytes, bytes.ElementBytes));
        pages.Free(page);
        bytes.Free(small);
        pages.Destroy();
        bytes.Destroy();
    });

    [Fact]
    public void Destroying_names_how_many_elements_are_out() => Run(system =>
    {
        Mempool pool = Mempool.OfSize("p", 512, 1);
        byte* a = pool.Alloc(KmFlags.Sleep);
        byte* b = Another(pool, KmFlags.Sleep);
        string text = Assert.Throws<InvalidOperationException>(pool.Destroy).Message;
        Assert.Contains("pool p is destroyed with 2 elements out", text, StringComparison.Ordinal);
        Free(pool, a, b);
        pool.Destroy();
        Assert.Throws<InvalidOperationException>(() => pool.Alloc(KmFlags.Sleep));
        Assert.Throws<InvalidOperationException>(pool.Destroy);
    });

    [Fact]
    public void A_cache_that_constructs_its_objects_is_refused() => Run(system =>
    {
        KmemCache cache = KmemCache.Create("built", 64, 8, static _ => { }, null);
        Assert.Throws<ArgumentException>(() => Mempool.OfCache("p", cache, 1));
        cache.Destroy();
    });

    [Fact]
    public void A_write_to_an_element_in_the_reserve_is_found() => Run(
        system =>
        {
            Mempool pool = Mempool.OfSize("p", Size, 1);
            byte* a = pool.Alloc(KmFlags.Sleep);
            byte* mine;
            using (new AllocationFault(static _ => true))
            {
                mine = Another(pool, KmFlags.Sleep);
                pool.Free(mine);
                mine[100] = 1;
                string text = Assert.Throws<InvalidOperationException>(() => pool.Alloc(KmFlags.NoSleep)).Message;
                Assert.Contains("offset 100", text, StringComparison.Ordinal);
            }

            KmemAllocator.Free(mine, Size);
            pool.Free(a);
        },
        poison: true);

    [Fact]
    public void Who_holds_an_element_and_would_wait_for_another_is_told_so() => Run(system =>
    {
        Mempool first = Mempool.OfSize("first", 512, 2);
        Mempool second = Mempool.OfSize("second", 512, 2);
        Mempool third = Mempool.OfSize("third", 512, 2, null, first);
        byte* a = first.Alloc(KmFlags.Sleep);
        string text = Assert.Throws<InvalidOperationException>(() => second.Alloc(KmFlags.PushPage)).Message;
        Assert.Contains("second", text, StringComparison.Ordinal);
        Assert.Contains("holds one of first", text, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => first.Alloc(KmFlags.Sleep));
        Assert.Equal((1, 1), (second.Statistics().Violations, first.Statistics().Violations));

        // Not waiting is no fault, nor what was allowed, nor what has gone on to somebody else.
        second.Free(second.Alloc(KmFlags.NoSleep));
        third.Free(third.Alloc(KmFlags.Sleep));
        first.Disown();
        byte* b = second.Alloc(KmFlags.Sleep);
        second.Free(b);
        first.Free(a);
        Assert.Throws<InvalidOperationException>(() => first.Free(a));
        first.Destroy();
        second.Destroy();
        third.Destroy();
    });

    [Fact]
    public void All_or_nothing_takes_all_and_otherwise_nothing() => Run(system =>
    {
        Mempool a = Mempool.OfSize("a", Size, 2);
        Mempool b = Mempool.OfSize("b", 512, 3);
        var got = new nint[4];
        using (new AllocationFault(static _ => true))
        {
            Assert.True(Mempool.TakeAll([new(a, 1), new(b, 2), new(a, 1)], got, KmFlags.NoSleep));
            Assert.Equal(4, got.Distinct().Count());
            Assert.Equal((0, 1), (a.InReserve, b.InReserve));
            nint[] more = new nint[2];
            Assert.False(Mempool.TakeAll([new(b, 1), new(a, 1)], more, KmFlags.NoSleep));
            Assert.Equal((0, 1), (a.InReserve, b.InReserve));
            Assert.Equal((0, 0), (more[0], more[1]));
            Assert.Equal((2, 2), (a.Statistics().Out, b.Statistics().Out));
        }

        Free(a, (byte*)got[0], (byte*)got[3]);
        Free(b, (byte*)got[1], (byte*)got[2]);
        Assert.Throws<ArgumentException>(() => Mempool.TakeAll([new(a, 2), new(a, 1)], new nint[3], KmFlags.NoSleep));
        Assert.Throws<ArgumentException>(() => Mempool.TakeAll([new(a, 2)], new nint[1], KmFlags.NoSleep));
        Assert.Throws<ArgumentException>(() => Mempool.TakeAll([], [], KmFlags.NoSleep));
        a.Destroy();
        b.Destroy();
    });

    [Fact]
    public void Waiting_for_all_holds_nothing() => Run(system =>
    {
        Mempool a = Mempool.OfSize("a", Size, 1);
        Mempool b = Mempool.OfSize("b", Size, 2);
        using var fault = new AllocationFault(static _ => true);
        byte* only = a.Alloc(KmFlags.Sleep);
        Kthread waiter = Kthread.Start("waiter", () =>
        {
            var got = new nint[3];
            Assert.True(Mempool.TakeAll([new(b, 2), new(a, 1)], got, KmFlags.Sleep));
            b.Free((byte*)got[0]);
            b.Free((byte*)got[1]);
            a.Free((byte*)got[2]);
        });
        KmemWorld.Until(() => waiter.WaitingFor is { } w && w.WaitName.Contains("memory pool a", StringComparison.Ordinal), "the wait");
        Assert.Equal((2, 0), (b.InReserve, b.Statistics().Out));
        a.Free(only);
        waiter.Join();
        Assert.Equal((1, 2), (a.InReserve, b.InReserve));
        a.Destroy();
        b.Destroy();
    });

    [Fact]
    public void Many_threads_on_a_reserve_of_two_all_get_on() => Run(
        system =>
        {
            Mempool pool = Mempool.OfSize("p", 4096, 2);
            using (new AllocationFault(static t => t.Name.StartsWith("worker", StringComparison.Ordinal)))
            {
                KmemWorld.Parallel(6, n =>
                {
                    for (int i = 0; i < 50; i++)
                    {
                        byte* e = pool.Alloc(n % 2 == 0 ? KmFlags.Sleep : KmFlags.PushPage);
                        new Span<byte>(e, 4096).Fill((byte)n);
                        Kthread.Yield();
                        Assert.Equal(-1, new Span<byte>(e, 4096).IndexOfAnyExcept((byte)n));
                        pool.Free(e);
                    }
                });
            }

            MempoolStats s = pool.Statistics();
            Assert.Equal((2, 0, 300, 300), (s.InReserve, s.Out, s.Allocs, s.FromReserve));
            pool.Destroy();
        },
        poison: true);

    private static byte* Another(Mempool pool, KmFlags flags) => IncrementalMempool.AllocWhileHolding(pool, flags);

    private static void Free(Mempool pool, params byte*[] elements)
    {
        foreach (byte* e in elements)
        {
            if (e != null)
            {
                pool.Free(e);
            }
        }
    }

    private static void Run(Action<KmemSystem> body, bool poison = false) => KmemWorld.Run(
        body,
        new KmemOptions { ArenaBytes = 16 * KmemWorld.MiB, Poison = poison, FaultPoints = true, StrictMempools = true, LockArena = false, OomTimeoutNs = 20_000_000_000 },
        checkLeaks: !poison);
}
