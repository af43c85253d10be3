using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>The memory that range lists and space maps of one allocator are written with: chunks, with a reserve for the sync path, and
/// two buffers that the sync thread alone uses.</summary>
internal sealed unsafe class RangeMemory : IDisposable
{
    /// <summary>Runs that can be sorted without an allocation.</summary>
    internal const int SortRuns = 8192;

    /// <summary>Bytes of <see cref="Block"/>.</summary>
    internal const int BlockBytes = 4096;

    private const long ReserveBytesMax = 2 << 20;

    private readonly KmemCache _cache = KmemCache.Create("space_range_list", RangeList.ChunkSize);

    internal RangeMemory()
    {
        long reserve = Math.Min(KmemSystem.Current.ArenaBytes / 256, ReserveBytesMax);
        Chunks = new SyncPool("space_range_list", _cache, (int)(reserve / RangeList.ChunkSize));
        Sort = (ulong*)KmemAllocator.Alloc(SortRuns * sizeof(ulong), KmFlags.Sleep);
        Block = (ulong*)KmemAllocator.Alloc(BlockBytes, KmFlags.Sleep);
    }

    /// <summary>Chunks of lists.</summary>
    internal SyncPool Chunks { get; }

    /// <summary>Room for <see cref="SortRuns"/> runs.</summary>
    internal ulong* Sort { get; }

    /// <summary>Room for a block of a space map.</summary>
    internal ulong* Block { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        KmemAllocator.Free((byte*)Sort, SortRuns * sizeof(ulong));
        KmemAllocator.Free((byte*)Block, BlockBytes);
        Chunks.Destroy();
        _cache.Destroy();
    }
}
