using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>How to set up the memory of the process.</summary>
public sealed class KmemOptions
{
    /// <summary>The smallest arena: 16 MiB.</summary>
    public const long MinArenaBytes = 16L << 20;

    /// <summary>The largest arena: 64 GiB. Its page descriptors then take some 2 GiB of address space.</summary>
    public const long MaxArenaBytes = 64L << 30;

    /// <summary>Size of the arena in bytes. 16 MiB at least.</summary>
    public long ArenaBytes { get; init; } = 256L << 20;

    /// <summary>Policy of marks and reserves.</summary>
    public KmemPolicy Policy { get; init; } = KmemPolicy.Fstrans;

    /// <summary>Every Nth unmarked sleeping allocation runs the shrinkers; 0: never.</summary>
    public int TortureReclaim { get; init; }

    /// <summary>Overrides the computed min watermark, bytes; 0: computed as Linux does.</summary>
    public long MinFreeBytes { get; init; }

    /// <summary>Fills freed memory with junk and checks it on the next allocation. For tests: it touches every byte.</summary>
    public bool Poison { get; init; }

    /// <summary>Which caches are watched, and how. Default: none.</summary>
    public SlabDebugSpec SlabDebug { get; init; } = SlabDebugSpec.None;

    /// <summary>The sync path of the file system keeps memory pools. Off: it asks the allocator like everybody, to see what they are for.</summary>
    public bool UseMempools { get; init; } = true;

    /// <summary>For tests: every allocation asks whether a test wants it to fail.</summary>
    public bool FaultPoints { get; init; }

    /// <summary>A thread that might wait for an element of a memory pool while it holds one of another gets an exception; else it is
    /// only counted and reported. Default: in simulated and in debug builds.</summary>
    public bool StrictMempools { get; init; } = SplPlatform.IsSimulated || DebugBuild;

    /// <summary>Memory nodes, 1 to 8, each of 4 MiB at least. A virtual CPU belongs to node cpu % nodes.</summary>
    public int Nodes { get; init; } = 1;

    /// <summary>Caches that nothing tells apart share their slabs.</summary>
    public bool MergeCaches { get; init; } = true;

    /// <summary>Locks the arena into memory if the system allows it.</summary>
    public bool LockArena { get; init; } = !SplPlatform.IsSimulated;

    /// <summary>After how long without any progress a sleeping allocation gives up with <see cref="KmemExhaustedException"/>,
    /// nanoseconds. 60 s.</summary>
    public long OomTimeoutNs { get; init; } = 60_000_000_000;

    /// <summary>The engine of slab caches. ZFSLITE_SLAB_ENGINE=spl in the environment changes the default, for test runs.</summary>
    public SlabEngineKind SlabEngine { get; init; } = EngineFromEnvironment();

    /// <summary>Tunables of the SPL engine.</summary>
    public SplEngineOptions Spl { get; init; } = new();

#if DEBUG
    private const bool DebugBuild = true;
#else
    private const bool DebugBuild = false;
#endif

    /// <summary>kmem_alloc of more bytes than this is warned of and counted: such sizes belong to vmem_alloc (spl_kmem_alloc_warn).
    /// Sizes up to 8 KiB never are. 0: no warnings. Default 64 KiB.</summary>
    public long AllocWarnBytes { get; init; } = 64 << 10;

    /// <summary>kmem_alloc of more bytes than this gives null, whatever the flags (spl_kmem_alloc_max). 16 KiB at least; default a
    /// quarter of the largest contiguous block, 1 MiB. vmem_alloc knows no such limit.</summary>
    public long AllocMaxBytes { get; init; } = (long)MemoryNode.MaxPages * ArenaMapping.PageSize / 4;

    /// <summary>Receives warnings (allocations that stall, and that are too large), of either kind at most 5 in 60 s; null: only
    /// counted.</summary>
    public Action<string>? Warn { get; init; }

    /// <summary>
    /// What <see cref="MinFreeBytes"/> has to be for the reserve to carry the worst case. It is reckoned with small objects that
    /// share pages. With the SPL engine alone each of them may be an emergency object, which takes a page, and it has to be
    /// twice as large: the worst case in Fs.Tests, ReserveTests, takes 68 pages below min, of the 64 that holders of a transaction may have.
    /// </summary>
    /// <returns>Bytes; 0: the computed value is enough.</returns>
    public static long MinFreeBytesFor(long arenaBytes, SlabEngineKind engine, int splSlabLimit) =>
        engine == SlabEngineKind.Spl && splSlabLimit < ArenaMapping.PageSize
            ? 2L * Watermarks.Compute((int)(arenaBytes / ArenaMapping.PageSize), 0).Min * ArenaMapping.PageSize
            : 0;

    private static SlabEngineKind EngineFromEnvironment() => Environment.GetEnvironmentVariable("ZFSLITE_SLAB_ENGINE") switch
    {
        null or "" or "slubq" => SlabEngineKind.Slubq,
        "spl" => SlabEngineKind.Spl,
        string other => throw new ArgumentException($"ZFSLITE_SLAB_ENGINE={other}: slubq or spl is possible"),
    };
}
