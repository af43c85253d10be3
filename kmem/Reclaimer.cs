using System.Runtime.CompilerServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// Reclaim: empty slabs and the queues of caches first, then the shrinkers, with rising pressure (priority 12 down to 0) until enough
/// pages came back. A thread inside reclaim is PF_MEMALLOC: it may use the reserve to the bottom and never enters reclaim
/// again. Under policy fstrans reclaim never waits for a transaction, and kswapd never enters the file system: a marked
/// thread that waits for kswapd's pages would otherwise wait for a kswapd that waits for that thread's transaction group.
/// </summary>
internal sealed class Reclaimer(KmemSystem system)
{
    /// <summary>The gentlest priority (DEF_PRIORITY).</summary>
    internal const int DefaultPriority = 12;

    /// <summary>What one direct reclaim aims at, in pages (SWAP_CLUSTER_MAX).</summary>
    internal const int ClusterPages = 32;

    /// <summary>How many objects a torture run asks each shrinker for.</summary>
    internal const int TortureObjects = 16;

    /// <summary>Is the thread a reclaimer, so that it must not enter reclaim?</summary>
    internal static bool InReclaim(Kthread self) =>
        (self.Flags & (ThreadFlags.InReclaim | ThreadFlags.Memalloc | ThreadFlags.Kswapd)) != 0;

    /// <summary>Direct reclaim in the caller's thread.</summary>
    /// <param name="gfp">The mask as the thread's marks leave it.</param>
    /// <param name="pages">Pages wanted.</param>
    /// <param name="self">The calling thread.</param>
    /// <returns>Progress: pages and objects that came back; 0 if none.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)] // A stack in a report shall name it.
    internal long Direct(GfpMask gfp, int pages, Kthread self)
    {
        Katomic.Increment(ref system.Counters.DirectReclaims);
        ShrinkControl control = Control((gfp & GfpMask.Fs) != 0, false);
        ThreadFlags saved = Begin(self);
        try
        {
            return Shrink(control, Math.Max(pages, ClusterPages));
        }
        finally
        {
            End(self, saved);
        }
    }

    /// <summary>The torture hook: the shrinkers, gently, with the mask that the allocation really has.</summary>
    internal void Torture(GfpMask gfp, Kthread self)
    {
        Katomic.Increment(ref system.Counters.TortureRuns);
        ShrinkControl control = Control((gfp & GfpMask.Fs) != 0, false);
        ThreadFlags saved = Begin(self);
        long freedBefore = system.Pages.FreedPages;
        FsReclaim.Enter(control.MayEnterFs);
        try
        {
            Katomic.Add(ref system.Counters.ObjectsReclaimed, system.Shrinkers.ShrinkSome(control, TortureObjects));
        }
        finally
        {
            FsReclaim.Exit(control.MayEnterFs);
            Katomic.Add(ref system.Counters.PagesReclaimed, system.Pages.FreedPages - freedBefore);
            End(self, saved);
        }
    }

    /// <summary>One pass of kswapd: until free pages reach high, or the pressure is at its highest.</summary>
    /// <returns>Progress.</returns>
    internal long Balance()
    {
        bool mayEnterFs = system.Policy != KmemPolicy.Fstrans;
        int want = system.Pages.Marks.High - system.Pages.FreePages;
        return want <= 0 ? 1 : Shrink(Control(mayEnterFs, true), want);
    }

    private static ThreadFlags Begin(Kthread self)
    {
        ThreadFlags saved = self.Flags & (ThreadFlags.InReclaim | ThreadFlags.Memalloc);
        self.Flags |= ThreadFlags.InReclaim | ThreadFlags.Memalloc;
        return saved;
    }

    private static void End(Kthread self, ThreadFlags saved) =>
        self.Flags = (self.Flags & ~(ThreadFlags.InReclaim | ThreadFlags.Memalloc)) | saved;

    private ShrinkControl Control(bool mayEnterFs, bool kswapd) =>
        new(mayEnterFs, kswapd) { MayWaitForTx = mayEnterFs && system.Policy != KmemPolicy.Fstrans };

    private long Shrink(in ShrinkControl control, int wantPages)
    {
        long before = system.Pages.FreedPages;
        long objects;
        FsReclaim.Enter(control.MayEnterFs);
        try
        {
            objects = ShrinkRising(control, wantPages, before);
        }
        finally
        {
            FsReclaim.Exit(control.MayEnterFs);
        }

        long pages = system.Pages.FreedPages - before;
        Katomic.Add(ref system.Counters.PagesReclaimed, pages);
        Katomic.Add(ref system.Counters.ObjectsReclaimed, objects);
        return pages + objects;
    }

    private long ShrinkRising(in ShrinkControl control, int wantPages, long freedBefore)
    {
        long objects = 0;
        ExpireCaches(wantPages, freedBefore);
        for (int priority = DefaultPriority; priority >= 0; priority--)
        {
            if (system.Pages.FreedPages - freedBefore >= wantPages)
            {
                break;
            }

            long freed = system.Shrinkers.Shrink(control, priority);
            if (freed > 0)
            {
                objects += freed;
                ExpireCaches(wantPages, freedBefore);
            }
        }

        return objects;
    }

    /// <summary>Takes what caches hold ready, cheapest first, until it is enough or they have no more.</summary>
    private void ExpireCaches(int wantPages, long freedBefore)
    {
        while (system.Pages.FreedPages - freedBefore < wantPages && system.Caches.Expire())
        {
        }
    }
}
