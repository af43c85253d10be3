using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

/// <summary>Slabs filled from below the watermark: for those who may go there, and nobody else.</summary>
public sealed unsafe class PfmemallocTests
{
    private const int Size = 512;

    [Fact]
    public void An_object_of_a_tagged_slab_goes_to_the_entitled_alone_and_comes_back_past_the_queues() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("tagged", Size);
        var engine = (SlubqEngine)cache.Engine;
        PageHoard hoard = Short(system);
        byte* lent = Entitled(cache, KmFlags.NoSleep);
        Assert.True(lent != null && IsTagged(system, lent));
        Assert.Equal(1, engine.Nodes[0].ReserveSlabs);

        // Objects are free, but not for everyone: neither NOSLEEP nor PUSHPAGE gets one of this slab.
        Assert.True(cache.Alloc(KmFlags.NoSleep) == null);
        byte* high = cache.Alloc(KmFlags.NoSleep | KmFlags.PushPage);
        Assert.True(high != null && !IsTagged(system, high), "PUSHPAGE has its own share of the reserve, untagged");
        byte* second = Entitled(cache, KmFlags.NoSleep);
        Assert.NotEqual((nint)lent, (nint)second);

        // The entitled one comes from the untagged slab of PUSHPAGE first, once its queue is looked at; freed ones never meet a queue.
        long queued = cache.Statistics().ObjectsInMagazines;
        cache.Free(lent);
        Assert.Equal(queued, cache.Statistics().ObjectsInMagazines);
        cache.Free(high);
        cache.Free(second);
        hoard.Drop(system);
        Shrinkers.Unregister(hoard);
        cache.Destroy();
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Fact]
    public void A_tagged_slab_serves_the_entitled_until_it_is_empty_and_is_gone_with_its_tag_then() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("tagged", Size);
        var engine = (SlubqEngine)cache.Engine;
        PageHoard hoard = Short(system);
        var lent = new List<nint>();
        for (int i = 0; i < engine.Geometry.ObjectsIn(engine.Geometry.Pages); i++)
        {
            lent.Add((nint)Entitled(cache, KmFlags.Sleep));
        }

        Assert.Equal(1, cache.Statistics().SlabsTotal);
        Assert.All(lent, p => Assert.True(IsTagged(system, (byte*)p)));
        int page = system.Mapping.IndexOf((byte*)lent[0]);
        lent.ForEach(p => cache.Free((byte*)p));
        cache.Reap();
        Assert.Equal(0, cache.Statistics().SlabsTotal);
        Assert.False(system.Mapping.Pages[page].Reserve);
        Assert.Equal(0, system.Mapping.Pages[page].Owner);
        hoard.Drop(system);
        Shrinkers.Unregister(hoard);
        cache.Destroy();
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Fact]
    public void When_a_refill_finds_that_pressure_has_passed_the_tag_ends() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("tagged", Size);
        var engine = (SlubqEngine)cache.Engine;
        PageHoard hoard = Short(system);
        byte* lent = Entitled(cache, KmFlags.Sleep);
        Assert.True(cache.Alloc(KmFlags.NoSleep) == null);
        hoard.Drop(system);
        byte* other = cache.Alloc(KmFlags.NoSleep);
        Assert.Equal(system.Mapping.IndexOf(lent), system.Mapping.IndexOf(other));
        Assert.False(IsTagged(system, lent));
        Assert.Equal(0, engine.Nodes[0].ReserveSlabs);
        Assert.Equal(1, cache.Statistics().SlabsTotal);
        cache.Free(lent);
        cache.Free(other);
        Assert.True(cache.Statistics().ObjectsInMagazines >= 2);
        Shrinkers.Unregister(hoard);
        cache.Destroy();
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Fact]
    public void A_sleeper_that_is_not_entitled_waits_though_objects_are_free_and_gets_one_when_pages_come_back() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("tagged", Size);
        PageHoard hoard = Short(system);
        hoard.NeedsFs = true;
        byte* lent = Entitled(cache, KmFlags.Sleep);
        byte* got = null;
        Kthread sleeper = Kthread.Start("sleeper", () =>
        {
            using (Fstrans.Mark())
            {
                got = cache.Alloc(KmFlags.Sleep);
            }
        });
        KmemWorld.Until(() => sleeper.WaitingFor?.WaitName == "memory", "the sleeper waits for memory");
        Assert.True(((SlubqEngine)cache.Engine).Nodes[0].ReserveSlabs == 1 && got == null);
        hoard.Drop(system);
        sleeper.Join();
        Assert.True(got != null);
        cache.Free(got);
        cache.Free(lent);
        Shrinkers.Unregister(hoard);
        cache.Destroy();
    }, KmemWorld.Options(engine: SlabEngineKind.Slubq));

    [Fact]
    public void A_slab_mapped_from_pages_of_the_reserve_is_tagged_too() => KmemWorld.Run(
        static system =>
        {
            KmemCache cache = KmemCache.Create("tagged_vmem", 20480, 8, null, null, KmemCacheFlags.Vmem);
            PageHoard hoard = Short(system);
            byte* lent = Entitled(cache, KmFlags.Sleep);
            Assert.True(system.Mapping.IndexOf(lent) >= system.Mapping.WindowStart && IsTagged(system, lent));
            Assert.True(cache.Alloc(KmFlags.NoSleep) == null);
            cache.Free(lent);
            hoard.Drop(system);
            Shrinkers.Unregister(hoard);
            cache.Destroy();
        },
        KmemWorld.Options(engine: SlabEngineKind.Slubq));

    /// <summary>An arena down to its min watermark.</summary>
    private static PageHoard Short(KmemSystem system)
    {
        var hoard = new PageHoard { IgnoresKswapd = true };
        Shrinkers.Register(hoard);
        hoard.FillTo(system, system.Pages.Marks.Min);
        return hoard;
    }

    private static byte* Entitled(KmemCache cache, KmFlags flags)
    {
        Kthread self = Kthread.Current;
        ThreadFlags saved = self.Flags;
        self.Flags |= ThreadFlags.Memalloc;
        byte* obj = cache.Alloc(flags);
        self.Flags = saved;
        return obj;
    }

    private static bool IsTagged(KmemSystem system, byte* obj) =>
        system.Mapping.Pages[system.Mapping.Pages[system.Mapping.IndexOf(obj)].Head].Reserve;
}
