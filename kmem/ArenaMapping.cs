using System.Runtime.CompilerServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The address space of the arena: one memfd mapped at <see cref="Base"/>, and behind it the vmalloc window, where pages of
/// the same memfd are mapped a second time. Arena pages and window pages share one index space (page 0 is at Base), so any
/// address of either leads to its descriptor by a shift. A mapping outlives Shutdown and is reused by an Init of the same
/// size: the simulator starts thousands of arenas. In the simulator it lies at a fixed address.
/// </summary>
internal sealed unsafe class ArenaMapping
{
    internal const int PageShift = 12;
    internal const int PageSize = 1 << PageShift;

    /// <summary>Words of <see cref="SlabBits"/> for each page: a bit for every 8 bytes.</summary>
    internal const int BitWordsPerPage = PageSize / 8 / 64;

    // Base and window are aligned to the largest block, so that blocks are aligned to their size in bytes too.
    private const int AlignPages = MemoryNode.MaxPages;
    private const ulong SimulatorBase = 0x2000_0000_0000;

    private static ArenaMapping? s_cached;

    private readonly int _fd;
    private byte* _reserved;
    private nuint _reservedBytes;
    private bool _inUse;

    private ArenaMapping(long arenaBytes)
    {
        ArenaPages = (int)(arenaBytes >> PageShift);
        WindowPages = WindowPagesFor(ArenaPages);
        WindowStart = (ArenaPages + AlignPages - 1) & -AlignPages;
        TotalPages = WindowStart + WindowPages;
        Pages = new PageDesc[TotalPages];
        SlabBits = new ulong[(long)TotalPages * BitWordsPerPage];
        _fd = PosixMemory.MemfdCreate("zfslite-arena", PosixMemory.MfdCloexec);
        if (_fd < 0)
        {
            throw new InvalidOperationException($"memfd_create: {PosixMemory.LastError()}");
        }

        if (PosixMemory.Ftruncate(_fd, arenaBytes) != 0)
        {
            string error = PosixMemory.LastError();
            _ = PosixMemory.Close(_fd);
            throw new InvalidOperationException($"an arena of {arenaBytes >> 20} MiB can't be made: {error}");
        }

        Base = Reserve();
        MapRun(0, 0, ArenaPages);
    }

    /// <summary>What describes the pages of an arena and its window, bytes of the managed heap.</summary>
    internal static long DescriptorBytes(long arenaBytes)
    {
        int pages = (int)(arenaBytes >> PageShift);
        return (long)(pages + AlignPages + WindowPagesFor(pages)) * (Unsafe.SizeOf<PageDesc>() + (BitWordsPerPage * sizeof(ulong)));
    }

    /// <summary>First byte of the arena.</summary>
    internal byte* Base { get; }

    /// <summary>Pages of the arena.</summary>
    internal int ArenaPages { get; }

    /// <summary>Index of the first page of the window.</summary>
    internal int WindowStart { get; }

    /// <summary>Pages of the window.</summary>
    internal int WindowPages { get; }

    /// <summary>Pages of arena, gap and window together.</summary>
    internal int TotalPages { get; }

    /// <summary>One descriptor per page of the index space.</summary>
    internal PageDesc[] Pages { get; }

    /// <summary>The free-object bits of slabs with more than 64 objects.</summary>
    internal ulong[] SlabBits { get; }

    /// <summary>Gives a mapping of this size with all descriptors cleared.</summary>
    internal static ArenaMapping Acquire(long arenaBytes)
    {
        ArenaMapping? m = s_cached;
        if (m is not null && (m._inUse || m.ArenaPages != arenaBytes >> PageShift))
        {
            if (m._inUse)
            {
                throw new InvalidOperationException("the arena is in use");
            }

            m.Dispose();
            s_cached = m = null;
        }

        m ??= s_cached = new ArenaMapping(arenaBytes);
        m._inUse = true;
        return m;
    }

    /// <summary>Ends the use of the mapping; it stays mapped for the next one.</summary>
    /// <param name="windowUsed">Window pages that were ever used, from its start.</param>
    /// <param name="windowDirty">Something is still mapped there.</param>
    internal void Release(int windowUsed, bool windowDirty)
    {
        if (windowDirty)
        {
            Unmap(WindowStart, WindowPages);
        }

        Array.Clear(Pages, 0, ArenaPages);
        Array.Clear(Pages, WindowStart, windowUsed);
        _inUse = false;
    }

    /// <summary>Address of a page.</summary>
    internal byte* Address(int page) => Base + ((long)page << PageShift);

    /// <summary>Index of the page that holds an address, or -1 if it is of neither arena nor window.</summary>
    internal int IndexOf(byte* p)
    {
        ulong offset = (ulong)(p - Base);
        return offset < (ulong)TotalPages << PageShift ? (int)(offset >> PageShift) : -1;
    }

    /// <summary>Maps <paramref name="count"/> arena pages from <paramref name="arenaPage"/> at <paramref name="atPage"/>.</summary>
    internal void MapRun(int atPage, int arenaPage, int count)
    {
        byte* want = Address(atPage);
        byte* got = PosixMemory.Mmap(
            want,
            (nuint)count << PageShift,
            PosixMemory.ProtReadWrite,
            PosixMemory.MapShared | PosixMemory.MapFixed,
            _fd,
            (long)arenaPage << PageShift);
        if (got != want)
        {
            throw new InvalidOperationException($"mmap of {count} arena pages: {PosixMemory.LastError()}");
        }
    }

    /// <summary>Takes a mapping out of the window; the addresses stay reserved.</summary>
    internal void Unmap(int atPage, int count)
    {
        byte* want = Address(atPage);
        byte* got = PosixMemory.Mmap(
            want,
            (nuint)count << PageShift,
            PosixMemory.ProtNone,
            PosixMemory.MapPrivate | PosixMemory.MapAnonymous | PosixMemory.MapNoReserve | PosixMemory.MapFixed,
            -1,
            0);
        if (got != want)
        {
            throw new InvalidOperationException($"unmapping {count} pages: {PosixMemory.LastError()}");
        }
    }

    /// <summary>Locks the arena into memory. Null when it worked, otherwise the reason.</summary>
    internal string? TryLock() => PosixMemory.Mlock(Base, (nuint)ArenaPages << PageShift) == 0 ? null : $"mlock: {PosixMemory.LastError()}";

    /// <summary>Undoes <see cref="TryLock"/>.</summary>
    internal void Unlock() => _ = PosixMemory.Munlock(Base, (nuint)ArenaPages << PageShift);

    private byte* Reserve()
    {
        byte* want = SplPlatform.IsSimulated ? (byte*)SimulatorBase : null;
        int flags = PosixMemory.MapPrivate | PosixMemory.MapAnonymous | PosixMemory.MapNoReserve
            | (SplPlatform.IsSimulated ? PosixMemory.MapFixedNoReplace : 0);
        nuint length = (nuint)(TotalPages + AlignPages) << PageShift;
        byte* got = PosixMemory.Mmap(want, length, PosixMemory.ProtNone, flags, -1, 0);
        if (got == PosixMemory.Failed)
        {
            throw new InvalidOperationException($"address space for {TotalPages} pages: {PosixMemory.LastError()}");
        }

        _reserved = got;
        _reservedBytes = length;
        const nuint align = (nuint)AlignPages << PageShift;
        return (byte*)(((nuint)got + align - 1) & ~(align - 1));
    }

    private void Dispose()
    {
        _ = PosixMemory.Munmap(_reserved, _reservedBytes);
        _ = PosixMemory.Close(_fd);
    }

    private static int WindowPagesFor(int arenaPages) => 1 << (int)Math.Max(12, Math.Ceiling(Math.Log2(arenaPages)) + 1);
}
