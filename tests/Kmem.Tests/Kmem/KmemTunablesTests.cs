using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

/// <summary>The attributes of caches by name: values, ranges, and changes under load.</summary>
public sealed unsafe class KmemTunablesTests
{
    [Fact]
    public void Every_attribute_of_the_posting_is_there() => Tuned(static cache =>
    {
        IReadOnlyList<KmemTunable> all = KmemTunables.List("tuned");
        Assert.Equal(all.Select(static t => t.Name).Order(StringComparer.Ordinal), all.Select(static t => t.Name));
        string[] writable = ["alien_queue_size", "batch_size", "cpu_queue_size", "expire", "min_partial", "shared_queue_size", "shrink"];
        Assert.Equal(writable, all.Where(static t => t.Writable).Select(static t => t.Name));
        string[] readOnly = ["queue_size", "shared_caches", "per_cpu_caches", "alien_caches", "alloc_shared", "free_shared", "free_alien", "queue_flush"];
        Assert.All(readOnly, n => Assert.False(all.Single(t => t.Name == n).Writable));
        Assert.Equal("54", KmemTunables.Get("tuned", "queue_size"));
        Assert.Equal("27", KmemTunables.Get("tuned", "batch_size"));
    });

    [Fact]
    public void Batch_size_store_accepts_what_fits_the_queue_and_refuses_what_does_not() => Tuned(static cache =>
    {
        // The posted series compared the wrong way round.
        Set("batch_size", "54");
        Assert.Equal(54, cache.BatchSize);
        Set("batch_size", "1");
        Assert.Equal(1, cache.BatchSize);
        Fails(KmemTunableException.Einval, "batch_size", "55", "1 to 54");
        Fails(KmemTunableException.Einval, "batch_size", "0", "1 to 54");
        Assert.Equal(1, cache.BatchSize);
    });

    [Fact]
    public void Alien_queue_size_store_refuses_what_is_out_of_range() => Tuned(
        static cache =>
        {
            // In the posted series this check could never fire.
            Fails(KmemTunableException.Einval, "alien_queue_size", "1025", "0 to 1024");
            Fails(KmemTunableException.Einval, "alien_queue_size", "-1", "0 to 1024");
            Set("alien_queue_size", "1024");
            Assert.Equal("1024", KmemTunables.Get("tuned", "alien_queue_size"));
            Set("alien_queue_size", "0");
        },
        nodes: 2);

    [Fact]
    public void Errors_say_what_is_wrong_and_what_is_possible() => Tuned(static cache =>
    {
        Fails(KmemTunableException.Einval, "cpu_queue_size", "1025", "0 to 1024");
        Fails(KmemTunableException.Einval, "cpu_queue_size", "-5", "0 to 1024");
        Fails(KmemTunableException.Einval, "cpu_queue_size", "many", "not a number");
        Fails(KmemTunableException.Einval, "shared_queue_size", "26", "it must hold a batch (27)");
        Fails(KmemTunableException.Einval, "alien_queue_size", "5", "one memory node");
        Fails(KmemTunableException.Einval, "min_partial", "101", "0 to 100");
        Fails(KmemTunableException.Einval, "shrink", "2", "writing 1");
        Fails(KmemTunableException.Eacces, "queue_size", "5", "only be read");
        Fails(KmemTunableException.Enoent, "no_such", "5", "no attribute no_such");
        Assert.Equal(KmemTunableException.Eacces, Assert.Throws<KmemTunableException>(static () => KmemTunables.Get("tuned", "expire")).Errno);
        KmemTunableException e = Assert.Throws<KmemTunableException>(static () => KmemTunables.Set("nobody", "batch_size", "1"));
        Assert.Equal(KmemTunableException.Enoent, e.Errno);
        Assert.Contains("nobody", e.Message, StringComparison.Ordinal);
        e = Assert.Throws<KmemTunableException>(static () => KmemTunables.Set("kmem_queue-64", "cpu_queue_size", "8"));
        Assert.Equal(KmemTunableException.Einval, e.Errno);
        _ = Assert.Throws<KmemTunableException>(static () => KmemTunables.Set("kmem_queue-64", "shared_queue_size", "64"));

        KmemCache large = KmemCache.Create("large", 65536);
        e = Assert.Throws<KmemTunableException>(static () => KmemTunables.Set("large", "cpu_queue_size", "1000"));
        Assert.Contains("1/8 of the arena", e.Message, StringComparison.Ordinal);
        large.Destroy();
    });

    [Fact]
    public void Shrink_gives_everything_back_and_expire_no_more_than_it_must() => Tuned(static cache =>
    {
        Fill(cache, 200);
        Set("expire", "1");
        Assert.True(cache.Statistics().ObjectsInMagazines > 0);
        Set("shrink", "1");
        Assert.Equal(0, cache.Statistics().SlabsTotal);
        Set("min_partial", "5");
        Fill(cache, 200);
        Set("cpu_queue_size", "0");
        Set("shared_queue_size", "0");
        Assert.Equal(5, cache.Statistics().SlabsTotal);
        Set("min_partial", "2");
        Assert.Equal(2, cache.Statistics().SlabsTotal);
    });

    [Fact]
    public void A_smaller_queue_keeps_its_hottest_objects_and_a_larger_one_all() => Tuned(static cache =>
    {
        var got = new nint[40];
        for (int i = 0; i < got.Length; i++)
        {
            got[i] = (nint)cache.Alloc(KmFlags.Sleep);
        }

        cache.Reap();
        foreach (nint p in got)
        {
            cache.Free((byte*)p);
        }

        Set("cpu_queue_size", "300");
        Set("cpu_queue_size", "8");
        Assert.Equal(4, cache.BatchSize);
        Assert.Equal(8, cache.Statistics().ObjectsInMagazines);
        for (int i = 0; i < 8; i++)
        {
            Assert.Equal(got[^(i + 1)], (nint)cache.Alloc(KmFlags.Sleep));
        }

        for (int i = 0; i < 8; i++)
        {
            cache.Free((byte*)got[^(i + 1)]);
        }
    });

    [Fact]
    public void Sizes_change_while_others_allocate_and_free_and_no_object_is_lost() => ZfsLite.TestKit.Backends.Run(
        static () =>
        {
            KmemSystem system = KmemSystem.Init(KmemWorld.Options(nodes: 2, engine: SlabEngineKind.Slubq));
            try
            {
                KmemCache cache = KmemCache.Create("resized", 256);
                string[] names = ["cpu_queue_size", "shared_queue_size", "alien_queue_size", "min_partial", "expire", "shrink"];
                KmemWorld.Parallel(4, me =>
                {
                    var rng = new SeededRandom((ulong)me + 1);
                    var live = new nint[12];
                    for (int i = 0; i < 40; i++)
                    {
                        if (me == 0)
                        {
                            string name = names[rng.Next(names.Length)];
                            KmemTunables.Set("resized", name, name is "expire" or "shrink" ? "1" : name == "shared_queue_size" ? "64" : $"{1 + rng.Next(60)}");
                            continue;
                        }

                        int slot = rng.Next(live.Length);
                        if (live[slot] != 0)
                        {
                            Assert.Equal(live[slot] ^ me, *(nint*)live[slot]);
                            *(nint*)live[slot] = 0;
                            cache.Free((byte*)live[slot]);
                            live[slot] = 0;
                        }
                        else
                        {
                            live[slot] = (nint)cache.Alloc(KmFlags.Sleep);
                            *(nint*)live[slot] = live[slot] ^ me;
                        }
                    }

                    foreach (nint p in live)
                    {
                        if (p != 0)
                        {
                            cache.Free((byte*)p);
                        }
                    }
                });
                KmemCacheStats stats = cache.Statistics();
                Assert.Equal(stats.Allocs, stats.Frees);
                Assert.Equal(0, stats.ObjectsAllocated);
                cache.Destroy();
                Assert.Null(system.DescribeLeaks());
                Assert.Equal(0, system.Caches.Statistics().Where(static s => s.Name.StartsWith("kmem_queue", StringComparison.Ordinal)).Sum(static s => s.ObjectsAllocated));
            }
            finally
            {
                KmemSystem.Shutdown();
            }
        },
        seeds: 100,
        osRounds: 50);

    private static void Tuned(Action<KmemCache> body, int nodes = 1) => KmemWorld.Run(
        system =>
        {
            KmemCache cache = KmemCache.Create("tuned", 512);
            body(cache);
            cache.Destroy();
        },
        KmemWorld.Options(nodes: nodes, arena: 256 * KmemWorld.MiB, engine: SlabEngineKind.Slubq));

    private static void Fill(KmemCache cache, int count)
    {
        var got = new nint[count];
        for (int i = 0; i < count; i++)
        {
            got[i] = (nint)cache.Alloc(KmFlags.Sleep);
        }

        foreach (nint p in got)
        {
            cache.Free((byte*)p);
        }
    }

    private static void Set(string name, string value) => KmemTunables.Set("tuned", name, value);

    private static void Fails(int errno, string name, string value, string why)
    {
        KmemTunableException e = Assert.Throws<KmemTunableException>(() => Set(name, value));
        Assert.Equal(errno, e.Errno);
        Assert.Contains(why, e.Message, StringComparison.Ordinal);
    }
}
