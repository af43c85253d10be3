using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// The adaptive replacement cache: every block in memory, found by name, under the replacement policy of Megiddo and Modha.
/// A block seen once is in MRU, one seen again in MFU; when a buffer goes, its name stays a while in the ghost list of the list it
/// left, and a hit there moves the target size of MRU (<c>_p</c>) towards the list that would have kept it.
///
/// Memory. Buffers come from the kmem arena (zio_buf caches) and are counted in <see cref="SizeBytes"/>, dirty ones included. Above
/// <see cref="TargetMaxBytes"/> an allocation first evicts as much as it takes, in its own thread, from clean unheld blocks. When
/// the arena itself runs short, kswapd and direct reclaim come through the shrinker, which takes no lock that an allocation is made
/// under, opens no transaction, and leaves the cache at least a fifth of the arena.
///
/// Invariants. A name is in at most one hash chain entry. A held block (Holds above 0), and one with dirty records (each is a hold), keeps
/// its buffer. Holds goes from 0 to -1 (being evicted) only under the bucket lock, and never back.
/// Lock order: arc_mtx → bucket → Dnode.ListMutex; a hold is taken under the bucket lock alone.
/// </summary>
public sealed unsafe partial class Arc : IShrinker, IDisposable
{
    /// <summary>What a block's entry costs beside its contents, bytes.</summary>
    internal const int DbufCharge = 320;

    private const int BucketCount = 1 << 16;
    private const int LockCount = 256;
    private const long PromoteNs = 62_000_000;
    private const int FreeMax = 4096;
    private const long ManagedMaxDefault = 48L << 20;

    // Block sizes of which the sync path has a reserve, and how many. See SyncPool.
    private const int LargeSyncBlock = 16384;
    private const int SmallSyncBlock = 4096;
    private const int LargeSyncBlocks = 24;
    private const int SmallSyncBlocks = 16;
    private const int SyncDirtyRecords = 128;

    private readonly Dbuf?[] _buckets = new Dbuf?[BucketCount];
    private readonly Kmutex[] _bucketLocks = new Kmutex[LockCount];
    private readonly Kmutex _mutex = new("arc_mtx");

    // Charges of entries that are gone, one behind the other, to be freed without arc_mtx.
    private byte* _late;
    private readonly ArcList _mru = new("mru", false);
    private readonly ArcList _mfu = new("mfu", false);
    private readonly ArcList _mruGhost = new("mru_ghost", true);
    private readonly ArcList _mfuGhost = new("mfu_ghost", true);
    private readonly KmemCache _dbufCache;
    private readonly KmemCache _dirtyRecordCache;
    private readonly Mempool? _largeBlocks;
    private readonly Mempool? _smallBlocks;

    // Buffers that are objects of a larger class than their size needs, with that class. Changed under arc_mtx.
    private readonly Dictionary<nint, int> _inLarger = [];
    private readonly long _ghostBytesMax;
    private readonly int _ghostCountMax;
    private Dbuf? _free;
    private int _freeCount;
    private long _p;
    private long _managed;
    private long _size;
    private long _hits;
    private long _misses;
    private long _evicted;
    private bool _disposed;

    internal Arc()
    {
        for (int i = 0; i < LockCount; i++)
        {
            _bucketLocks[i] = new Kmutex("dbuf_hash");
        }

        long arena = KmemSystem.Current.ArenaBytes;
        TargetMaxBytes = arena / 100 * 60;
        MinBytes = arena / 5;
        _ghostBytesMax = TargetMaxBytes;
        _ghostCountMax = (int)Math.Min(1 << 16, arena >> 16);
        _p = TargetMaxBytes / 2;
        _dbufCache = KmemCache.Create("dmu_buf_impl_t", DbufCharge);
        _dirtyRecordCache = KmemCache.Create("dbuf_dirty_record_t", sizeof(DirtyRecord));
        DirtyRecords = new SyncPool("dbuf_dirty_record", _dirtyRecordCache, SyncDirtyRecords);
        if (SyncPool.InForce)
        {
            _largeBlocks = Mempool.OfCache("zio_sync_16384", ZioBuf.CacheFor(LargeSyncBlock), LargeSyncBlocks);
            _smallBlocks = Mempool.OfCache("zio_sync_4096", ZioBuf.CacheFor(SmallSyncBlock), SmallSyncBlocks);
        }

        Shrinkers.Register(this);
    }

    /// <inheritdoc/>
    public string Name => "arc";

    /// <summary>Bytes of buffers, clean and dirty.</summary>
    public long SizeBytes => Katomic.Load(ref _size);

    /// <summary>The cache holds itself below this, bytes.</summary>
    public long TargetMaxBytes { get; }

    /// <summary>The shrinker leaves this much.</summary>
    public long MinBytes { get; }

    /// <summary>Lookups that found the contents.</summary>
    public long Hits => Katomic.Load(ref _hits);

    /// <summary>Lookups that did not.</summary>
    public long Misses => Katomic.Load(ref _misses);

    /// <summary>Buffers evicted.</summary>
    public long Evictions => Katomic.Load(ref _evicted);

    internal SyncPool DirtyRecords { get; }

    /// <summary>The sync path has taken half of a reserve, or more: time to write out what it has begun.</summary>
    internal bool ReserveIsLow => DirtyRecords.IsLow || _largeBlocks is { IsLow: true } || _smallBlocks is { IsLow: true };

    /// <summary>Bytes of the managed heap that entries, dnodes and znodes take: they lie beside the arena.</summary>
    internal long ManagedBytes => Katomic.Load(ref _managed);

    /// <summary>Above this, a new entry has others evicted first, however small their blocks are.</summary>
    internal long ManagedMaxBytes { get; set; } = ManagedMaxDefault;

    /// <summary>Finds a block, or makes its entry, and takes a hold. The contents may be missing (State Uncached).</summary>
    internal Dbuf Hold(Dnode dn, int level, ulong blockId)
    {
        int h = Hash(dn.Objset.Id, dn.Object, level, blockId);
        Kmutex bucket = _bucketLocks[h & (LockCount - 1)];
        Dbuf? fresh = null;
        while (true)
        {
            bucket.Enter();
            Dbuf? db = Find(h, dn.Objset, dn.Object, level, blockId);
            if (db is null && fresh is not null)
            {
                Insert(fresh, h, dn, level, blockId);
                bucket.Exit();
                return fresh;
            }

            if (db is null)
            {
                bucket.Exit();
                TrimManaged();
                fresh = NewDbuf();
                continue;
            }

            if (db.State == DbufState.Ghost)
            {
                Resurrect(db, dn);
            }
            else
            {
                Katomic.Increment(ref db.Holds);
            }

            bucket.Exit();
            if (fresh is not null)
            {
                Recycle(fresh);
            }

            return db;
        }
    }

    /// <summary>Takes a hold on a block if it is in memory with contents.</summary>
    internal Dbuf? TryHold(Dnode dn, int level, ulong blockId)
    {
        int h = Hash(dn.Objset.Id, dn.Object, level, blockId);
        Kmutex bucket = _bucketLocks[h & (LockCount - 1)];
        bucket.Enter();
        Dbuf? db = Find(h, dn.Objset, dn.Object, level, blockId);
        if (db is not null && db.State != DbufState.Ghost)
        {
            Katomic.Increment(ref db.Holds);
        }
        else
        {
            db = null;
        }

        bucket.Exit();
        return db;
    }

    /// <summary>Takes one more hold on a block that a list of its dnode names; false if it is on its way out.</summary>
    internal static bool TryHoldListed(Dbuf db)
    {
        while (true)
        {
            int holds = Katomic.Load(ref db.Holds);
            if (holds < 0)
            {
                return false;
            }

            if (Katomic.CompareExchange(ref db.Holds, holds + 1, holds) == holds)
            {
                return true;
            }
        }
    }

    /// <summary>Lets go of a hold. A block without contents goes at once.</summary>
    internal void Release(Dbuf db)
    {
        // Once the hold is gone the entry may be dropped, and be another block's, at any moment.
        int hash = db.Hash;
        int after = Katomic.Decrement(ref db.Holds);
        if (after < 0)
        {
            throw new InvalidOperationException($"{db} released once too often");
        }

        if (after == 0 && db.Data is null)
        {
            DropIfEmpty(db, hash);
        }
    }

    /// <summary>The contents were used: the replacement policy hears of it.</summary>
    internal void Touch(Dbuf db)
    {
        _hits++;
        long now = Kclock.NowNs;
        if (now - db.ArcTouchedNs < PromoteNs)
        {
            return;
        }

        _mutex.Enter();
        ArcList? list = db.ArcList;
        if (list is { IsGhost: false })
        {
            bool again = db.ArcTouchedNs != 0;
            list.Remove(db);
            (again ? _mfu : _mru).PushHead(db);
        }

        db.ArcTouchedNs = now;
        _mutex.Exit();
    }

    /// <summary>A buffer for block contents; above the target size, clean blocks make room first.</summary>
    internal byte* AllocBuffer(int size, KmFlags flags)
    {
        long over = Katomic.Add(ref _size, size) - TargetMaxBytes;
        if (over > 0)
        {
            Evict(Math.Min(over, 2L * size));
        }

        if ((flags & KmFlags.PushPage) != 0 && KmemSystem.Current is { IsShort: true, Policy: KmemPolicy.Fstrans })
        {
            // Those whom others wait for: before the reserve goes what is cached, even the cache's own share.
            Evict(size);
        }

        return SyncPool.IsSyncThread ? Draw(size, flags) : ZioBuf.Alloc(size, flags);
    }

    internal void CountManaged(int bytes) => Katomic.Add(ref _managed, bytes);

    internal void FreeBuffer(byte* data, int size)
    {
        FreeBlock(data, _inLarger.Count == 0 || PoolFor(size) is not null ? size : RealSize(data, size));
        Katomic.Add(ref _size, -size);
    }

    /// <summary>The size of a block changes with its contents: keeps the list's byte count right. Done by the block's owner.</summary>
    internal void Resize(Dbuf db, int size, byte* data)
    {
        _mutex.Enter();
        ArcList? list = db.ArcList;
        list?.Remove(db);
        db.Size = size;
        db.Data = data;
        list?.PushHead(db);
        _mutex.Exit();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        Shrinkers.Unregister(this);
        FreeLate();
        while (_free is { } db)
        {
            _free = db.HashNext;
            FreeCharge(db);
        }

        _largeBlocks?.Destroy();
        _smallBlocks?.Destroy();
        DirtyRecords.Destroy();
        _dbufCache.Destroy();
        _dirtyRecordCache.Destroy();
    }

    private Mempool? PoolFor(int size) => size switch
    {
        LargeSyncBlock => _largeBlocks,
        SmallSyncBlock => _smallBlocks,
        _ => null,
    };

    /// <summary>For the sync path. Blocks of odd sizes take an element of the next larger one when there is nothing else.</summary>
    private byte* Draw(int size, KmFlags flags)
    {
        if (PoolFor(size) is { } pool)
        {
            return Draw(pool, flags);
        }

        byte* data = size < LargeSyncBlock && _largeBlocks is not null ? ZioBuf.Alloc(size, KmFlags.PushPage | KmFlags.NoSleep) : ZioBuf.Alloc(size, flags);
        if (data is null)
        {
            int larger = size < SmallSyncBlock ? SmallSyncBlock : LargeSyncBlock;
            data = Draw(PoolFor(larger)!, flags);
            _mutex.Enter();
            _inLarger.Add((nint)data, larger);
            _mutex.Exit();
        }

        return data;
    }

    /// <summary>Clean blocks, once evicted, fill an empty reserve again.</summary>
    private byte* Draw(Mempool pool, KmFlags flags)
    {
        byte* data = pool.Draw(KmFlags.PushPage | KmFlags.NoSleep);
        int scans = 1 + ((_mru.Count + _mfu.Count) / ScanMax);
        for (int idle = 0; data is null && idle <= scans;)
        {
            // Held blocks go out of the evictor's way: after so many scans in vain all have been looked at.
            bool evicted = Evict(1) > 0;
            idle = evicted ? 0 : idle + 1;
            data = evicted ? pool.Draw(KmFlags.PushPage | KmFlags.NoSleep) : null;
        }

        return data is not null ? data : pool.Draw(flags);
    }

    private int RealSize(byte* data, int size)
    {
        _mutex.Enter();
        int real = _inLarger.Remove((nint)data, out int larger) ? larger : size;
        _mutex.Exit();
        return real;
    }

    private void FreeBlock(byte* data, int size)
    {
        if (PoolFor(size) is not { } pool || !pool.TryDonate(data))
        {
            ZioBuf.Free(data, size);
        }
    }

    private static int Hash(ulong os, ulong obj, int level, ulong blockId)
    {
        ulong h = (os * 0x9E3779B97F4A7C15UL) ^ (obj * 0xC2B2AE3D27D4EB4FUL) ^ (blockId * 0x165667B19E3779F9UL) ^ ((ulong)level << 57);
        h ^= h >> 32;
        h *= 0xD6E8FEB86659FD93UL;
        h ^= h >> 32;
        return (int)(h & (BucketCount - 1));
    }

    private Kmutex BucketOf(Dbuf db) => _bucketLocks[db.Hash & (LockCount - 1)];

    /// <summary>A ghost hit: the entry lives again, without contents. Bucket lock held, so arc_mtx may only be tried.</summary>
    private void Resurrect(Dbuf db, Dnode dn)
    {
        // The evictor may still be moving it: Holds is -1 until it has.
        while (Katomic.Load(ref db.Holds) != 0)
        {
            Kthread.Yield();
        }

        db.State = DbufState.Uncached;
        db.Dn = dn;
        Katomic.Store(ref db.Holds, 1);
        dn.AddHold();
        dn.AddToList(db);
    }

    /// <summary>The contents have been filled in for the first time, or again after a ghost hit.</summary>
    internal void Filled(Dbuf db, byte* data, int size)
    {
        _mutex.Enter();
        ArcList? was = db.ArcList;
        if (was is { IsGhost: true })
        {
            long step = Math.Max(db.Size, 1) * Math.Max(1, (ReferenceEquals(was, _mruGhost) ? _mfuGhost.Bytes : _mruGhost.Bytes) / Math.Max(1, was.Bytes));
            _p = ReferenceEquals(was, _mruGhost) ? Math.Min(TargetMaxBytes - (TargetMaxBytes / 10), _p + step) : Math.Max(TargetMaxBytes / 10, _p - step);
            was.Remove(db);
        }
        else if (was is not null)
        {
            throw new InvalidOperationException($"{db} filled while in list {was.Name}");
        }

        _misses++;
        db.Size = size;
        db.Data = data;
        db.State = DbufState.Cached;
        (was is null ? _mru : _mfu).PushHead(db);
        db.ArcTouchedNs = Kclock.NowNs;
        _mutex.Exit();
    }

    /// <summary>The contents are gone (freed range): the block leaves the lists. Its Mutex and a hold are the caller's.</summary>
    internal void Unfill(Dbuf db)
    {
        _mutex.Enter();
        db.ArcList?.Remove(db);
        db.Data = null;
        db.Size = 0;
        db.State = DbufState.Uncached;
        _mutex.Exit();
    }

    /// <summary>Takes an entry without contents out, if it is still the one that was in that chain and nobody holds it.</summary>
    private void DropIfEmpty(Dbuf db, int hash)
    {
        Kmutex bucket = _bucketLocks[hash & (LockCount - 1)];
        _mutex.Enter();
        bucket.Enter();
        bool mine = IsChained(db, hash) && db.State == DbufState.Uncached && db.Data is null && db.Dn is not null && db.DirtyMask == 0
            && Katomic.CompareExchange(ref db.Holds, -1, 0) == 0;
        Dnode? dn = db.Dn;
        if (mine)
        {
            Unhash(db);
            db.ArcList?.Remove(db);
            dn!.RemoveFromList(db);
        }

        bucket.Exit();
        if (mine)
        {
            PutFree(db);
        }

        _mutex.Exit();
        FreeLate();
        if (mine)
        {
            dn!.Release();
        }
    }

    private bool IsChained(Dbuf db, int h)
    {
        Dbuf? at = _buckets[h];
        while (at is not null && !ReferenceEquals(at, db))
        {
            at = at.HashNext;
        }

        return at is not null;
    }

    private Dbuf? Find(int h, Objset os, ulong obj, int level, ulong blockId)
    {
        for (Dbuf? db = _buckets[h]; db is not null; db = db.HashNext)
        {
            if (db.BlockId == blockId && db.Object == obj && db.Level == level && ReferenceEquals(db.Os, os))
            {
                return db;
            }
        }

        return null;
    }

    private void Insert(Dbuf db, int h, Dnode dn, int level, ulong blockId)
    {
        db.Os = dn.Objset;
        db.Dn = dn;
        db.Object = dn.Object;
        db.Level = level;
        db.BlockId = blockId;
        db.Hash = h;
        db.Size = 0;
        db.Data = null;
        db.State = DbufState.Uncached;
        db.Holds = 1;
        db.ArcTouchedNs = 0;
        db.IndirectDirty = false;
        db.HashNext = _buckets[h];
        _buckets[h] = db;
        dn.AddHold();
        dn.AddToList(db);
    }

    private void Unhash(Dbuf db)
    {
        ref Dbuf? link = ref _buckets[db.Hash];
        while (link is not null)
        {
            if (ReferenceEquals(link, db))
            {
                link = db.HashNext;
                db.HashNext = null;
                return;
            }

            link = ref link.HashNext;
        }

        throw new InvalidOperationException($"{db} is not in its hash chain");
    }

    private Dbuf NewDbuf()
    {
        _mutex.Enter();
        Dbuf? db = _free;
        if (db is not null)
        {
            _free = db.HashNext;
            db.HashNext = null;
            _freeCount--;
        }

        _mutex.Exit();
        db ??= new Dbuf();
        if (db.Charge is null)
        {
            // The sync path does without rather than wait.
            bool must = !SyncPool.InForce || !SyncPool.IsSyncThread;
            db.Charge = _dbufCache.Alloc(DmuTx.CurrentAllocFlags | (must ? 0 : KmFlags.NoSleep));
            CountManaged(db.Charge is null ? 0 : DbufCharge);
        }

        return db;
    }

    private void Recycle(Dbuf db)
    {
        _mutex.Enter();
        PutFree(db);
        _mutex.Exit();
        FreeLate();
    }
}
