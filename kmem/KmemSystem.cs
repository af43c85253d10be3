using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The memory of the process: one arena, its reclaim, its policy.
/// <para>
/// Everything that grows with the work lives in the arena, a memfd mapping of fixed size (<see cref="ArenaMapping"/>). Its
/// 4 KiB pages are handed out by a buddy system (<see cref="MemoryNode"/>) behind three watermarks. Small objects come from
/// slab caches (<see cref="KmemCache"/>) with a magazine per virtual CPU, kmem_alloc from caches of common sizes, large ones
/// straight from pages; what can't be had in one piece is mapped together in a window behind the arena
/// (<see cref="VmallocWindow"/>). Because the arena is bounded, somebody has to give memory back, and who does that, in which
/// thread and with what right, is what this project is about:
/// </para>
/// <para>
/// An allocation takes pages above low at once. Below low it wakes <see cref="Kswapd"/>. Below min a sleeping allocation
/// reclaims in its own thread (<see cref="Reclaimer"/>): magazines and empty slabs first, then the shrinkers, which may enter
/// the file system if the gfp mask says so (<see cref="Gfp"/>). The mask comes from the KM_* flags, the thread's mark
/// (<see cref="Fstrans"/>) and the policy. KM_PUSHPAGE may use half of what lies below min, a thread inside reclaim all of it.
/// If reclaim gave nothing, the thread waits for memory, which shows in the wait-for graph, and tries again.
/// </para>
/// <para>Invariants.</para>
/// <para>
/// 1. A sleeping allocation returns memory or, after <see cref="KmemOptions.OomTimeoutNs"/> in which nobody gave anything
/// back, throws. It never returns null.
/// 2. A thread inside reclaim never enters reclaim.
/// 3. A mark takes IO and FS from every allocation of its thread, nested ones (slabs, page tables) included: the page
/// allocator itself sees to it.
/// 4. Under policy fstrans reclaim never waits for a transaction, and kswapd never enters the file system.
/// 5. Every page is free, or in one allocation, or in one slab, or behind one mapping; free pages, slabs and objects add up
/// (<see cref="DescribeLeaks"/>).
/// 6. No path of alloc and free allocates on the GC heap, waits for another allocation, or holds a lock while it reclaims.
/// </para>
/// <para>
/// Why the reserve is enough (fstrans). It is a ladder, and whoever is waited for stands lower on it: ordinary allocations stop at min,
/// the holder of an assigned transaction at half of min, the quiesce and sync path at an eighth, a thread in reclaim at nothing. A
/// transaction of txg N + 1 that fell short waits for the sync of N, which therefore must never need what that transaction has taken.
/// What each needs before it gives memory back is bounded: the throttle bounds the transactions, and each has taken its data buffers,
/// those for a partial record included, before it was assigned. The sync path, when free memory is below min, writes out what it
/// has begun before it takes another block, so that it pins one path of indirect blocks at a time; its workers compress only the
/// block whose turn it is; and both take clean blocks from the cache, even below what is otherwise the cache's own. Besides, the sync
/// path has memory pools (<see cref="Mempool"/>; fs: SyncPool) that carry it when the allocator gives it nothing at all. The
/// simulator holds all of this to its word: Fs.Tests, ReserveTests and SyncMemoryTests.
/// </para>
/// <para>
/// Lock order, outermost first: kmem_tuning → kmem_caches (only tried in reclaim) → kmem_cache_shared or
/// kmem_cache_alien → kmem_cache → nothing; kmem_vmalloc, kmem_node,
/// kmem_wait, kmem_warn, kmem_shrinkers, mempool and kswapd are leaves. Magazines are entered by try alone, and may be held while any of these but
/// the first two is taken. Shrinkers run with none of them held. The pseudo-lock fs_reclaim (<see cref="FsReclaim"/>) comes after every lock
/// under which an unmarked sleeping allocation is made, and before every lock that a shrinker takes.
/// </para>
/// </summary>
public sealed class KmemSystem
{
    /// <summary>Most memory nodes.</summary>
    public const int MaxNodes = 8;

    private static KmemSystem? s_current;

    static KmemSystem()
    {
        if (SplPlatform.IsSimulated)
        {
            SimWorld.OnReset(static () => s_current?.Close());
        }
    }

    private KmemSystem(KmemOptions options)
    {
        Options = options;
        Policy = options.Policy;
        long bytes = options.ArenaBytes & -ArenaMapping.PageSize;
        ArenaBytes = bytes;
        Mapping = ArenaMapping.Acquire(bytes);
        Torture = new TortureReclaim(this, options.TortureReclaim);
        Pages = new PageAllocator(this, Mapping);
        Vmalloc = new VmallocWindow(this, Mapping);
        Kswapd = new Kswapd(this);
        Reclaimer = new Reclaimer(this);
        Caches = new CacheRegistry(this);
        QueueMemory = new QueueMemory(this);
        Faults = new FaultPoint(this);
        Failslab = new Failslab(this);
        Leaks = new LeakTracker(CallSites);
        LargeDebug = options.SlabDebug.For(SlabDebugSpec.LargeName);
        Spl = new SplEngineShared(this);
        Kmalloc = new KmallocCaches(this);
        Pages.AllowedGfp = (GfpMask)~0;
        if (options.LockArena)
        {
            LockReason = Mapping.TryLock();
            Locked = LockReason is null;
        }
    }

    /// <summary>The system in force. <see cref="Init"/> comes first.</summary>
    public static KmemSystem Current => s_current ?? throw new InvalidOperationException("kmem is not initialised");

    /// <summary>The options it was made with.</summary>
    public KmemOptions Options { get; }

    /// <summary>The policy in force.</summary>
    public KmemPolicy Policy { get; }

    /// <summary>Size of the arena, bytes.</summary>
    public long ArenaBytes { get; }

    /// <summary>Is the arena locked into memory?</summary>
    public bool Locked { get; }

    /// <summary>Why it is not locked.</summary>
    public string? LockReason { get; } = "not asked for";

    /// <summary>Bytes free now, a guess.</summary>
    public long FreeBytes => (long)Pages.FreePages << ArenaMapping.PageShift;

    /// <summary>Free memory is below min: ordinary allocations wait, only the reserve is left. A guess.</summary>
    public bool IsShort => Pages.FreePages <= Pages.Marks.Min;

    /// <summary>The watermarks, in pages of 4 KiB.</summary>
    public Watermarks Watermarks => Pages.Marks;

    internal static KmemSystem? CurrentOrNull => s_current;

    internal ArenaMapping Mapping { get; }

    internal PageAllocator Pages { get; }

    internal VmallocWindow Vmalloc { get; }

    internal ShrinkerRegistry Shrinkers { get; } = new();

    internal CacheRegistry Caches { get; }

    internal QueueMemory QueueMemory { get; }

    internal MempoolRegistry Mempools { get; } = new();

    internal FaultPoint Faults { get; }

    /// <summary>Allocations that fail by order.</summary>
    internal Failslab Failslab { get; }

    /// <summary>The live allocations of watched caches.</summary>
    internal LeakTracker Leaks { get; }

    internal CallSites CallSites { get; } = new();

    /// <summary>How allocations of whole pages are watched.</summary>
    internal SlabDebugFlags LargeDebug { get; }

    internal Kswapd Kswapd { get; }

    internal Reclaimer Reclaimer { get; }

    internal KmallocCaches Kmalloc { get; }

    internal SplEngineShared Spl { get; }

    internal TortureReclaim Torture { get; }

    internal KmemCounters Counters { get; } = new();

    internal WarnLimit LargeWarnings { get; } = new();

    /// <summary>Bytes of allocations made straight from pages.</summary>
    internal long LargeBytes;

    /// <summary>What the descriptors of an arena's pages take on the managed heap, bytes: a limit of that heap has to leave room for
    /// them. Pages that are never used leave theirs untouched.</summary>
    public static long DescriptorBytes(long arenaBytes) => ArenaMapping.DescriptorBytes(arenaBytes);

    /// <summary>Sets up the arena. Once per process; tests may shut down and start again.</summary>
    public static KmemSystem Init(KmemOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (s_current is not null)
        {
            throw new InvalidOperationException("kmem is initialised already");
        }

        if (options.ArenaBytes < KmemOptions.MinArenaBytes || options.ArenaBytes > KmemOptions.MaxArenaBytes)
        {
            throw new ArgumentException(
                $"an arena of {options.ArenaBytes} bytes: {KmemOptions.MinArenaBytes >> 20} MiB is the least, {KmemOptions.MaxArenaBytes >> 30} GiB the most",
                nameof(options));
        }

        if (options.Nodes is < 1 or > MaxNodes || options.ArenaBytes / options.Nodes < MemoryNode.MaxPages * ArenaMapping.PageSize)
        {
            throw new ArgumentException($"{options.Nodes} memory nodes in an arena of {options.ArenaBytes} bytes: 1 to {MaxNodes}, of 4 MiB each at least", nameof(options));
        }

        ArgumentOutOfRangeException.ThrowIfNegative(options.TortureReclaim);
        ArgumentOutOfRangeException.ThrowIfNegative(options.AllocWarnBytes);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.AllocMaxBytes, KmallocCaches.MaxSize);
        options.Spl.Check();
        if (options.Spl.SlabLife && (options.Poison || !options.SlabDebug.IsNone))
        {
            throw new ArgumentException("Spl.SlabLife keeps free objects constructed, and slab debugging writes to them: one of the two", nameof(options));
        }

        _ = Watermarks.Compute((int)(options.ArenaBytes / ArenaMapping.PageSize), options.MinFreeBytes);
        s_current = new KmemSystem(options);
        KmallocCaches.SetCurrent(s_current.Kmalloc);
        return s_current;
    }

    /// <summary>Ends kswapd and gives the arena back. What was still allocated is gone.</summary>
    public static void Shutdown()
    {
        KmemSystem? system = s_current;
        if (system is null)
        {
            return;
        }

        system.Kswapd.Stop();
        system.Spl.Stop();
        system.Close();
    }

    /// <summary>What is still allocated, in a few words, after magazines and empty slabs were given back; null: nothing.</summary>
    public string? DescribeLeaks()
    {
        Caches.Reap();
        long missing = Mapping.ArenaPages - Pages.FreePages - QueueMemory.Pages;
        if (missing == 0)
        {
            return null;
        }

        IEnumerable<string> caches = Caches.Statistics()
            .Where(c => c.ObjectsAllocated != 0 && !QueueMemory.IsOwn(c.Name))
            .Select(static c => $"{c.ObjectsAllocated} of {c.Name}");
        IEnumerable<string> sites = LiveAllocations().Take(8).Select(static s => $"{s.Count} of {s.Cache}, {s.Bytes} bytes, by {s.Site}");
        string tracked = string.Join("; ", sites);
        return $"{missing} pages: {string.Join(", ", caches)}; {LargeBytes} bytes of large allocations{(tracked.Length == 0 ? string.Empty : "; live: " + tracked)}";
    }

    /// <summary>The live allocations of the caches that are watched for leaks (letter L of <see cref="KmemOptions.SlabDebug"/>), by cache and
    /// call site, most bytes first. Allocates on the GC heap.</summary>
    public IReadOnlyList<KmemLeak> LiveAllocations() => Leaks.Sites();

    /// <summary>Gives the arena back. A simulated world that has ended takes its kmem along: its kswapd is gone already.</summary>
    private void Close()
    {
        s_current = null;
        KmallocCaches.SetCurrent(null);
        Caches.Forget();
        if (Locked)
        {
            Mapping.Unlock();
        }

        Vmalloc.Forget();
        Mapping.Release(Vmalloc.HighestUsed, Vmalloc.UsedPages > 0);
    }

    /// <summary>Frees an allocation of pages, contiguous or mapped in the window.</summary>
    internal void FreePages(int page, int pages, int described = int.MaxValue)
    {
        if (page >= Mapping.WindowStart)
        {
            Vmalloc.Free(page, pages);
        }
        else
        {
            Pages.Free(page, pages, described);
        }
    }
}
