using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

/// <summary>The queues of the SLUB+Q engine: who gets what from where, on one node and on several.</summary>
public sealed unsafe class SlubqQueueTests
{
    [Theory]
    [InlineData(64, 120)]
    [InlineData(256, 120)]
    [InlineData(264, 54)]
    [InlineData(1024, 54)]
    [InlineData(1032, 24)]
    [InlineData(4096, 24)]
    [InlineData(4104, 8)]
    public void Queues_have_the_sizes_of_the_posting(int size, int queue) => KmemWorld.Run(
        system =>
        {
            KmemCache cache = KmemCache.Create("sized", size);
            Assert.Equal(queue, cache.QueueSize);
            Assert.Equal((queue + 1) / 2, cache.BatchSize);
            cache.Destroy();
        },
        KmemWorld.Options(arena: 256 * KmemWorld.MiB, engine: SlabEngineKind.Slubq));

    [Fact]
    public void Queues_of_large_objects_take_no_more_than_their_share_of_the_arena() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("large", 65536);
        Assert.Equal(0, cache.QueueSize);
        cache.Free(cache.Alloc(KmFlags.Sleep));
        Assert.Equal(0, cache.Statistics().ObjectsInMagazines);
        cache.Destroy();
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Fact]
    public void A_full_queue_gives_its_coldest_batch_to_the_shared_queue_and_an_empty_one_takes_the_hottest_there() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("shared", 512);
        var engine = (SlubqEngine)cache.Engine;
        Magazine mine = cache.Magazines[Kthread.Current.Cpu];
        int queue = cache.QueueSize;
        int batch = cache.BatchSize;
        nint[] got = Many(cache, 3 * queue);
        foreach (nint p in got.AsSpan(0, queue + 1))
        {
            cache.Free((byte*)p);
        }

        SlubqQueue shared = engine.Nodes[mine.Node].Shared;
        Assert.Equal(batch, shared.Count);
        Assert.Equal(batch, engine.FreeShared);
        Assert.Equal(queue + 1 - batch, mine.Count);

        // Last in, first out; then the batch from the shared queue, the hottest of it first.
        for (int i = queue; i >= 0; i--)
        {
            Assert.Equal(got[i], (nint)cache.Alloc(KmFlags.Sleep));
        }

        Assert.Equal(batch, engine.AllocShared);
        Assert.Equal(0, shared.Count);
        FreeAll(cache, got);
        cache.Destroy();
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Fact]
    public void With_no_room_in_the_shared_queue_the_batch_goes_to_the_slabs() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("drained", 512);
        var engine = (SlubqEngine)cache.Engine;
        KmemTunables.Set("drained", "shared_queue_size", "0");
        nint[] got = Many(cache, 2 * cache.QueueSize);
        long flushes = engine.QueueFlush;
        FreeAll(cache, got);
        Assert.Equal(0, engine.FreeShared);
        Assert.True(engine.QueueFlush > flushes);
        Assert.Equal(cache.Statistics().ObjectsInMagazines, engine.Statistics().ObjectsOut);
        cache.Destroy();
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Theory]
    [InlineData(4096)]
    [InlineData(512)]
    [InlineData(10_000)]
    public void A_cache_that_grows_takes_the_slabs_of_a_batch_at_once_and_never_a_quarter_too_many(int size) => KmemWorld.Run(
        system =>
        {
            KmemCache cache = KmemCache.Create("growing", size);
            int perSlab = ((SlubqEngine)cache.Engine).Geometry.ObjectsIn(((SlubqEngine)cache.Engine).Geometry.Pages);
            var got = new nint[100 * perSlab];
            long refills = 0;
            for (int i = 0; i < got.Length; i++)
            {
                got[i] = (nint)cache.Alloc(KmFlags.Sleep);
                long needed = (i / perSlab) + 1;
                Assert.InRange(cache.Statistics().SlabsTotal, needed, needed + (needed / 4));
                refills = i == got.Length / 2 ? cache.Hits().SlowAllocs : refills;
            }

            // A batch, then what is left of its last slab.
            Assert.InRange(cache.Hits().SlowAllocs - refills, 1, (2 * (got.Length / 2 / cache.BatchSize)) + 2);
            Assert.Equal(got.Length, got.Distinct().Count());
            FreeAll(cache, got);
            cache.Reap();
            Assert.Equal(0, cache.Statistics().SlabsTotal);
            cache.Destroy();
        },
        KmemWorld.Options(engine: SlabEngineKind.Slubq, arena: 64 * KmemWorld.MiB));

    [Fact]
    public void With_memory_below_high_a_cache_grows_by_single_slabs() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = KmemCache.Create("short", 4096);
            nint[] got = Many(cache, 48);
            cache.Reap();
            var hoard = new PageHoard();
            hoard.FillTo(system, system.Watermarks.High);
            nint[] more = Many(cache, 7);
            Assert.Equal(got.Length + more.Length, cache.Statistics().SlabsTotal);
            hoard.Drop(system);
            FreeAll(cache, more);
            FreeAll(cache, got);
            cache.Destroy();
        },
        KmemWorld.Options(engine: SlabEngineKind.Slubq, arena: 64 * KmemWorld.MiB));

    [Fact]
    public void Reclaim_takes_empty_slabs_first_then_alien_then_shared_queues_then_those_of_the_cpus() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = KmemCache.Create("expired", 1024);
            var engine = (SlubqEngine)cache.Engine;
            Magazine mine = cache.Magazines[Kthread.Current.Cpu];
            SlubqNode node = engine.Nodes[mine.Node];
            SlubqQueue alien = node.Aliens[1 - mine.Node];
            nint[] got = Many(cache, 4 * cache.QueueSize);
            FreeAll(cache, got);
            nint foreign = FromOtherNode(cache);
            cache.Free((byte*)foreign);
            Assert.True(mine.Count > 0 && node.Shared.Count > 0 && alien.Count == 1);
            Assert.True(engine.Statistics().SlabsTotal > engine.Statistics().SlabsAllocated, "an empty slab is kept");

            (int Cpu, int Shared, int Alien) at = (mine.Count, node.Shared.Count, alien.Count);
            Assert.True(system.Caches.Expire());
            Assert.Equal(at, (mine.Count, node.Shared.Count, alien.Count));
            Assert.True(system.Caches.Expire());
            Assert.Equal((at.Cpu, at.Shared, 0), (mine.Count, node.Shared.Count, alien.Count));
            Assert.True(system.Caches.Expire());
            Assert.Equal((at.Cpu, 0, 0), (mine.Count, node.Shared.Count, alien.Count));
            Assert.True(system.Caches.Expire());
            Assert.Equal((0, 0, 0), (mine.Count, node.Shared.Count, alien.Count));
            Assert.Equal(0, engine.Statistics().SlabsTotal);
            cache.Destroy();
        },
        Nodes(2));

    [Fact]
    public void A_free_on_another_node_goes_home_by_the_alien_queue() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = KmemCache.Create("home", 1024);
            var engine = (SlubqEngine)cache.Engine;
            int own = system.Pages.NodeOfCpu(Kthread.Current.Cpu);
            nint foreign = FromOtherNode(cache);
            Assert.NotEqual(own, system.Pages.NodeOf(system.Mapping.IndexOf((byte*)foreign)));
            cache.Free((byte*)foreign);
            Assert.Equal(1, engine.FreeAlien);
            Assert.Equal(1, engine.Nodes[own].Aliens[1 - own].Count);
            byte* mine = cache.Alloc(KmFlags.Sleep);
            Assert.Equal(own, system.Pages.NodeOf(system.Mapping.IndexOf(mine)));
            Assert.Equal(1, cache.Statistics().ObjectsAllocated);
            cache.Reap();
            Assert.Equal(0, engine.Nodes[own].Aliens[1 - own].Count);
            cache.Free(mine);
            cache.Destroy();
        },
        Nodes(2));

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Every_node_has_its_part_of_the_arena_and_of_the_watermarks_and_the_own_one_is_taken_first(int nodes) => KmemWorld.Run(
        system =>
        {
            Assert.Equal(nodes, system.Pages.Nodes.Length);
            int pages = 0;
            foreach (MemoryNode node in system.Pages.Nodes)
            {
                pages += node.TotalPages;
                Assert.True(node.TotalPages >= system.Mapping.ArenaPages / nodes - MemoryNode.MaxPages);
                Assert.InRange(node.Marks.Min, 1, system.Pages.Marks.Min);
            }

            Assert.Equal(system.Mapping.ArenaPages, pages);
            KmemWorld.Parallel(2 * nodes, _ =>
            {
                Kthread self = Kthread.Current;
                int page = system.Pages.Try(1, GfpMask.Kernel, self);
                Assert.Equal(self.Cpu % nodes, system.Pages.NodeOf(page));
                system.Pages.Free(page, 1);
            });

            // A node that has run out: the others help, down to low, before anybody goes below it.
            Kthread me = Kthread.Current;
            MemoryNode own = system.Pages.Nodes[me.Cpu % nodes];
            var taken = new List<int>();
            while (own.FreePages > own.Marks.Low)
            {
                taken.Add(own.TryAlloc(1, 0));
            }

            int other = system.Pages.Try(1, GfpMask.Kernel, me);
            Assert.NotEqual(me.Cpu % nodes, system.Pages.NodeOf(other));
            Assert.Equal(own.Marks.Low, own.FreePages);
            taken.Add(other);
            taken.ForEach(page => system.Pages.Free(page, 1));
            Assert.Equal(system.Mapping.ArenaPages, system.Pages.FreePages);
        },
        Nodes(nodes));

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(9)]
    public void A_number_of_nodes_that_the_arena_cannot_have_is_refused(int nodes) =>
        Assert.Throws<ArgumentException>(() => KmemSystem.Init(Nodes(nodes)));

    [Fact]
    public void A_vmalloc_slab_of_many_small_objects_has_its_bitmap() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("tiny_vmem", 16, 8, null, null, KmemCacheFlags.Vmem);
        nint[] got = Many(cache, 600);
        Assert.Equal(600, got.Distinct().Count());
        Assert.All(got, p => Assert.True(system.Mapping.IndexOf((byte*)p) >= system.Mapping.WindowStart));
        FreeAll(cache, got);
        cache.Destroy();
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Fact]
    public void Before_the_system_is_up_no_allocation_sleeps_reclaims_or_wakes_kswapd() => KmemWorld.Run(static system =>
    {
        var hoard = new PageHoard();
        Shrinkers.Register(hoard);
        hoard.FillTo(system, system.Pages.Marks.Min);
        GfpMask allowed = system.Pages.AllowedGfp;
        system.Pages.AllowedGfp = GfpMask.High;
        Assert.Equal(PageAllocator.NoMemory, system.Pages.Alloc(1, GfpMask.Kernel, Kthread.Current));
        Assert.Empty(hoard.Calls);
        Assert.Equal(0, system.Counters.KswapdWakes);
        system.Pages.AllowedGfp = allowed;
        int page = system.Pages.Alloc(1, GfpMask.Kernel, Kthread.Current);
        Assert.True(page >= 0);
        system.Pages.Free(page, 1);
        Shrinkers.Unregister(hoard);
        hoard.Drop(system);
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    private static KmemOptions Nodes(int nodes) => KmemWorld.Options(nodes: nodes, engine: SlabEngineKind.Slubq);

    /// <summary>An object of a slab of the other node, handed over by a thread there.</summary>
    private static nint FromOtherNode(KmemCache cache)
    {
        int own = Kthread.Current.Cpu % 2;
        nint got = 0;
        while (got == 0)
        {
            Kthread.Start("elsewhere", () =>
            {
                if (Kthread.Current.Cpu % 2 != own)
                {
                    got = (nint)cache.Alloc(KmFlags.Sleep);
                }
            }).Join();
        }

        return got;
    }

    private static nint[] Many(KmemCache cache, int count)
    {
        var got = new nint[count];
        for (int i = 0; i < count; i++)
        {
            got[i] = (nint)cache.Alloc(KmFlags.Sleep);
        }

        return got;
    }

    private static void FreeAll(KmemCache cache, ReadOnlySpan<nint> objects)
    {
        foreach (nint p in objects)
        {
            cache.Free((byte*)p);
        }
    }
}
