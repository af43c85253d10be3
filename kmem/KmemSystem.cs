using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>The memory of the process: one arena, its reclaim, its policy.</summary>
public sealed class KmemSystem
{
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
        Kmalloc = new KmallocCaches(this);
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

    /// <summary>The watermarks, in pages of 4 KiB.</summary>
    public Watermarks Watermarks => Pages.Marks;

    internal static KmemSystem? CurrentOrNull => s_current;

    internal ArenaMapping Mapping { get; }

    internal PageAllocator Pages { get; }

    internal VmallocWindow Vmalloc { get; }

    internal ShrinkerRegistry Shrinkers { get; } = new();

    internal CacheRegistry Caches { get; } = new();

    internal Kswapd Kswapd { get; }

    internal Reclaimer Reclaimer { get; }

    internal KmallocCaches Kmalloc { get; }

    internal TortureReclaim Torture { get; }

    internal KmemCounters Counters { get; } = new();

    /// <summary>Bytes of allocations made straight from pages.</summary>
    internal long LargeBytes;

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
                $"an arena of {options.ArenaBytes} bytes: {KmemOptions.MinArenaBytes >> 20} MiB is the least, {KmemOptions.MaxArenaBytes >> 40} TiB the most",
                nameof(options));
        }

        return s_current = new KmemSystem(options);
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
        system.Close();
    }

    /// <summary>What is still allocated, in a few words, after magazines and empty slabs were given back; null: nothing.</summary>
    public string? DescribeLeaks()
    {
        Caches.Reap();
        int missing = Mapping.ArenaPages - Pages.FreePages;
        if (missing == 0)
        {
            return null;
        }

        IEnumerable<string> caches = Caches.Statistics()
            .Where(static c => c.ObjectsAllocated != 0)
            .Select(static c => $"{c.ObjectsAllocated} of {c.Name}");
        return $"{missing} pages: {string.Join(", ", caches)}; {LargeBytes} bytes of large allocations";
    }

    /// <summary>Gives the arena back. A simulated world that has ended takes its kmem along: its kswapd is gone already.</summary>
    private void Close()
    {
        s_current = null;
        if (Locked)
        {
            Mapping.Unlock();
        }

        Vmalloc.Forget();
        Mapping.Release(Vmalloc.HighestUsed, Vmalloc.UsedPages > 0);
    }

    /// <summary>Frees an allocation of pages, contiguous or mapped in the window.</summary>
    internal void FreePages(int page, int pages)
    {
        if (page >= Mapping.WindowStart)
        {
            Vmalloc.Free(page, pages);
        }
        else
        {
            Pages.Free(page, pages);
        }
    }
}
