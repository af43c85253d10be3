using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// A slab cache with a reserve for the sync path, whose objects live on in the cache of blocks or on a list after the sync path has made
/// them: it draws on the reserve, and whatever object of the kind anybody frees fills the reserve up again.
/// <para>
/// Why writing out what is dirty can't stall on memory. Transactions wait for the sync of an earlier txg, never the other way round,
/// and reclaim can't make dirty blocks clean: so the threads of the sync path (txg_sync, z_wr_iss, z_wr_int) may wait for each other
/// and for the disk, but for memory only if it comes back without anybody's help but theirs. What they take is of five kinds.
/// </para>
/// <code>
/// pool                        serves                                         needed at most, before one is given back
/// zio_scratch      2 x 128K   workers: compressing a block                   1: only the worker whose block is placed next takes it; whoever
///                                                                            has it is past its place and needs the disk alone
/// zio_stored       1 x 128K   txg_sync: a stored block being read, labels    1: given back before anything else is asked for
/// zio_sync_16384  24 x 16K    txg_sync: indirect, dnode, ZAP blocks          a path of 7 indirect blocks, and a block below
/// zio_sync_4096   16 x 4K     txg_sync: blocks of space maps                 the tail blocks of 8 space maps
/// dbuf_dirty_record, dnode_t  txg_sync: what it dirties and opens            one each per such block
/// space_range_list arena/256  txg_sync, workers' blocks: ranges of a txg     see below
/// metaslab_bitmap  1          txg_sync: a space map that must be loaded      1: another metaslab is unloaded for it, and donates its own
/// </code>
/// <para>
/// The first two are taken and given back. The others are drawn: the object stays, as a clean block, until it is evicted. So when such a
/// reserve is half empty (or memory is short) the sync thread writes out what it has begun up to the top before it takes the next block, stores
/// dnodes one block at a time, and appends to a few space maps at a time; what it has written is clean, and when the reserve
/// is empty it evicts clean blocks until one of the size comes back. It can't run dry while it pins less than the reserve.
/// </para>
/// <para>
/// What can be done without is asked for once and not waited for: compressing blocks up to 4 KiB, the charge of an entry of the block cache,
/// condensing a space map, turning a list of ranges into a bitmap, loading metaslabs in advance. Buffers whose number is known are there from the
/// start: the space map writer's, the one in which ranges are sorted. Dirty records, dnodes, and data of open transactions are
/// not the sync path's: they are paid for before Assign or from the watermark reserve (KmemSystem). Batches and write requests are managed objects.
/// </para>
/// <para>
/// What is not covered: freeing more than the reserve of range lists holds (at 16 MiB 8,000 runs that don't touch, in one txg); blocks
/// larger than 16 KiB, which only micro ZAPs of the per-user accounts have; and metaslabs so large that a
/// bitmap takes more than 1/64 of the arena. There the path is as before: it dips to an eighth of the min watermark, then it waits.
/// </para>
/// <para>In force under policy fstrans alone; the others are history, which had no pools.</para>
/// </summary>
internal sealed unsafe class SyncPool
{
    private readonly KmemCache _cache;
    private readonly Mempool? _pool;

    /// <summary>Makes the reserve, if pools are in force.</summary>
    internal SyncPool(string name, KmemCache cache, int min)
    {
        _cache = cache;
        _pool = InForce ? Mempool.OfCache(name, cache, min) : null;
    }

    /// <summary>Does the sync path have pools?</summary>
    internal static bool InForce => KmemSystem.Current is { Policy: KmemPolicy.Fstrans, Options.UseMempools: true };

    /// <summary>Is the calling thread of the sync path?</summary>
    internal static bool IsSyncThread => (Kthread.Current.Flags & ThreadFlags.SyncPath) != 0;

    /// <summary>Time to give objects back before one takes more.</summary>
    internal bool IsLow => _pool is { IsLow: true };

    /// <summary>Allocates: a thread of the sync path may draw on the reserve.</summary>
    internal byte* Alloc(KmFlags flags) => _pool is not null && IsSyncThread ? _pool.Draw(flags) : _cache.Alloc(flags);

    /// <summary>Frees, by any thread.</summary>
    internal void Free(byte* obj)
    {
        if (_pool is null || !_pool.TryDonate(obj))
        {
            _cache.Free(obj);
        }
    }

    /// <summary>Gives the reserve back.</summary>
    internal void Destroy() => _pool?.Destroy();
}
