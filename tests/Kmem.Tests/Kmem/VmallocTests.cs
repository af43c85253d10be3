using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

public sealed unsafe class VmallocTests
{
    [Fact]
    public void A_mapping_shows_the_same_bytes_as_the_pages_behind_it() => KmemWorld.Run(static system =>
    {
        using var scattered = new Scatter(system, 8);
        const int size = 1 << 20;
        byte* p = KmemAllocator.VmemZalloc(size, KmFlags.Sleep);
        int at = system.Mapping.IndexOf(p);
        Assert.True(at >= system.Mapping.WindowStart);
        for (int i = 0; i < size / 4096; i++)
        {
            *(int*)(p + (i * 4096)) = i + 1;
        }

        var seen = new HashSet<int>();
        int tables = 0;
        for (int run = system.Mapping.Pages[at].Runs; run >= 0; run = system.Mapping.Pages[run].Next)
        {
            if (system.Mapping.Pages[run].Kind == PageKind.PageTable)
            {
                tables++;
                continue;
            }

            for (int i = 0; i < 1 << system.Mapping.Pages[run].Order; i++)
            {
                Assert.True(seen.Add(*(int*)system.Mapping.Address(run + i)));
            }
        }

        Assert.Equal(size / 4096, seen.Count);
        Assert.Equal(1, tables);
        Assert.Equal(size / 4096, seen.Max());
        Assert.True(KmemStats.Snapshot().VmallocMappings is > 1 and <= 256);
        KmemAllocator.VmemFree(p, size);
        Assert.Equal(0, KmemStats.Snapshot().VmallocMappings);
        Assert.Equal(0, KmemStats.Snapshot().VmallocPages);
    });

    [Fact]
    public void More_than_the_largest_block_is_mapped_and_up_to_most_of_the_arena_can_be_had() => KmemWorld.Run(static system =>
    {
        const long size = 14 << 20;
        byte* p = KmemAllocator.VmemAlloc(size, KmFlags.Sleep);
        Assert.True(KmemStats.Snapshot().VmallocMappings <= 8);
        p[0] = 1;
        p[size - 1] = 2;
        Assert.Equal((size / 4096) + (size / 4096 / 512), system.Mapping.ArenaPages - system.Pages.FreePages);
        KmemAllocator.VmemFree(p, size);
    });

    [Fact]
    public void Buffers_of_128_KiB_survive_fragmentation() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("zio_buf_131072", 131072, 4096);
        using var scattered = new Scatter(system, 2);
        var model = new ObjectModel();
        for (int i = 0; i < 20; i++)
        {
            model.Add(cache.Alloc(KmFlags.PushPage), 131072);
        }

        Assert.True(KmemStats.Snapshot().VmallocTotal >= 20);
        while (model.Count > 0)
        {
            cache.Free((byte*)model.Take(0).Address);
        }

        cache.Destroy();
    });

    [Fact]
    public void A_cache_may_ask_for_mapped_slabs() => KmemWorld.Run(static system =>
    {
        KmemCache cache = KmemCache.Create("vmem", 16384, 8, null, null, KmemCacheFlags.Vmem);
        byte* p = cache.Alloc(KmFlags.Sleep);
        Assert.True(KmemStats.Snapshot().VmallocPages > 0);
        p[16383] = 1;
        cache.Free(p);
        cache.Destroy();
    });

    [Fact]
    public void Page_tables_ignore_the_callers_flags_but_not_its_mark() => KmemWorld.Run(
        static system =>
        {
            var hoard = new PageHoard { IgnoresKswapd = true };
            Shrinkers.Register(hoard);
            KmemCache cache = KmemCache.Create("history", 16384, 8, null, null, KmemCacheFlags.Vmem | KmemCacheFlags.NoMagazine);
            hoard.FillTo(system, system.Pages.Marks.Min);
            byte* p = cache.Alloc(KmFlags.PushPage);
            Assert.True(hoard.Calls[0].Control.MayEnterFs);
            cache.Free(p);
            cache.Reap();

            hoard.Calls.Clear();
            hoard.FillTo(system, system.Pages.Marks.Min);
            using (Fstrans.Mark())
            {
                p = cache.Alloc(KmFlags.PushPage);
            }

            Assert.All(hoard.Calls, static c => Assert.False(c.Control.MayEnterFs));
            Assert.NotEmpty(hoard.Calls);
            cache.Free(p);
            cache.Destroy();
            Shrinkers.Unregister(hoard);
            hoard.Drop(system);
        },
        KmemWorld.Options(KmemPolicy.TxCookie, engine: SlabEngineKind.Slubq));

    [Fact]
    public void Under_fstrans_page_tables_take_the_callers_flags_the_reserve_included() => KmemWorld.Run(
        static system =>
        {
            var hoard = new PageHoard { IgnoresKswapd = true };
            Shrinkers.Register(hoard);
            const int pages = 8;
            hoard.FillTo(system, system.Pages.Marks.Min);
            int at = system.Vmalloc.Alloc(pages, Gfp.Convert(KmFlags.PushPage, KmemPolicy.Fstrans, ThreadFlags.None), Kthread.Current);
            Assert.Equal(system.Pages.Marks.Min - pages - 1, system.Pages.FreePages);
            Assert.Empty(hoard.Calls);
            system.FreePages(at, pages);
            Assert.Equal(system.Pages.Marks.Min, system.Pages.FreePages);

            // Without the right to the reserve the same mapping has to reclaim, tables first; with the mark, not in the file system.
            using (Fstrans.Mark())
            {
                at = system.Vmalloc.Alloc(pages, GfpMask.Kernel, Kthread.Current);
            }

            Assert.NotEmpty(hoard.Calls);
            Assert.All(hoard.Calls, static c => Assert.False(c.Control.MayEnterFs));
            system.FreePages(at, pages);
            Shrinkers.Unregister(hoard);
            hoard.Drop(system);
        });

    [Fact]
    public void Under_none_page_tables_ignore_the_callers_flags() => KmemWorld.Run(
        static system =>
        {
            var hoard = new PageHoard { IgnoresKswapd = true };
            Shrinkers.Register(hoard);
            hoard.FillTo(system, system.Pages.Marks.Min);
            GfpMask gfp = Gfp.Convert(KmFlags.PushPage, KmemPolicy.None, ThreadFlags.None);
            Assert.Equal(GfpMask.None, gfp & GfpMask.Fs);
            int at;
            using (Fstrans.Mark())
            {
                at = system.Vmalloc.Alloc(8, gfp, Kthread.Current);
            }

            // Flags and mark both forbid it; none knows no marks, and the tables no flags.
            Assert.Contains(hoard.Calls, static c => c.Control.MayEnterFs);
            system.FreePages(at, 8);
            Shrinkers.Unregister(hoard);
            hoard.Drop(system);
        },
        KmemWorld.Options(KmemPolicy.None));

    [Fact]
    public void A_mapping_that_must_not_sleep_fails_without_leaving_anything_behind() => KmemWorld.Run(
        static system =>
        {
            var hoard = new PageHoard { IgnoresKswapd = true };
            GfpMask gfp = Gfp.Convert(KmFlags.NoSleep, KmemPolicy.Fstrans, ThreadFlags.None);
            for (int missing = 1; missing <= 9; missing++)
            {
                // Eight pages and a table are wanted.
                int free = system.Pages.Marks.Min + 9 - missing;
                hoard.FillTo(system, free);
                Assert.Equal(PageAllocator.NoMemory, system.Vmalloc.Alloc(8, gfp, Kthread.Current));
                Assert.Equal(free, system.Pages.FreePages);
                Assert.Equal(0, system.Vmalloc.UsedPages);
                Assert.Equal(0, system.Vmalloc.Mappings);
            }

            hoard.Drop(system);
            system.FreePages(system.Vmalloc.Alloc(8, gfp, Kthread.Current), 8);
        });

    /// <summary>Leaves half of the arena free, in runs of so many pages.</summary>
    private sealed class Scatter : IDisposable
    {
        private readonly KmemSystem _system;
        private readonly List<int> _kept = [];
        private readonly int _run;

        internal Scatter(KmemSystem system, int run)
        {
            _system = system;
            _run = run;
            var all = new List<int>();
            Kthread.Current.Flags |= ThreadFlags.Memalloc;
            int page;
            while ((page = system.Pages.Try(run, GfpMask.None, Kthread.Current)) >= 0)
            {
                all.Add(page);
            }

            Kthread.Current.Flags &= ~ThreadFlags.Memalloc;
            all.Sort();
            for (int i = 0; i < all.Count; i++)
            {
                if (i % 2 == 0)
                {
                    system.Pages.Free(all[i], run);
                }
                else
                {
                    _kept.Add(all[i]);
                }
            }
        }

        public void Dispose() => _kept.ForEach(p => _system.Pages.Free(p, _run));
    }
}
