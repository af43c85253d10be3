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
public sealed unsafe class Arc : IShrinker, IDisposable
{
    private const int BucketCount = 1 << 16;
    private const int LockCount = 256;
    private const long PromoteNs = 62_000_000;

    private readonly Dbuf?[] _buckets = new Dbuf?[BucketCount];
    private readonly Kmutex[] _bucketLocks = new Kmutex[LockCount];
    private readonly Kmutex _mutex = new("arc_mtx");
    private readonly ArcList _mru = new("mru", false);
    private readonly ArcList _mfu = new("mfu", false);
    private readonly ArcList _mruGhost = new("mru_ghost", true);
    private readonly ArcList _mfuGhost = new("mfu_ghost", true);
    private readonly KmemCache _dbufCache;
    private readonly long _ghostBytesMax;
    private readonly int _ghostCountMax;
    private Dbuf? _free;
    private int _freeCount;
    private long _p;
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
        _dbufCache = KmemCache.Create("dmu_buf_impl_t", 320);
        DirtyRecordCache = KmemCache.Create("dbuf_dirty_record_t", sizeof(DirtyRecord));
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

    internal KmemCache DirtyRecordCache { get; }

    /// <inheritdoc/>
    public long Count(in ShrinkControl control)
    {
        long over = SizeBytes - MinBytes;
        return over <= 0 ? 0 : Math.Max(1, over >> 12);
    }

    /// <inheritdoc/>
    public long Scan(in ShrinkControl control, long toScan)
    {
        long want = Math.Min(toScan << 12, SizeBytes - MinBytes);
        return want <= 0 ? 0 : (Evict(want) + 4095) >> 12;
    }

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
        int after = Katomic.Decrement(ref db.Holds);
        if (after < 0)
        {
            throw new InvalidOperationException($"{db} released once too often");
        }

        if (after == 0 && db.Data is null)
        {
            DropIfEmpty(db);
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

        return ZioBuf.Alloc(size, flags);
    }

    internal void FreeBuffer(byte* data, int size)
    {
        ZioBuf.Free(data, size);
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

    /// <summary>Drops every block of an object set, at unmount. Nothing may be held or dirty.</summary>
    internal void DropAll(Objset os)
    {
        for (int round = 0; round < 2; round++)
        {
            foreach (ArcList list in new[] { _mru, _mfu, _mruGhost, _mfuGhost })
            {
                DropFrom(list, os);
            }
        }
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
        while (_free is { } db)
        {
            _free = db.HashNext;
            FreeCharge(db);
        }

        _dbufCache.Destroy();
        DirtyRecordCache.Destroy();
    }

    /// <summary>Evicts clean unheld blocks of about that many bytes; returns how many bytes went. Never blocks on a busy lock for long.</summary>
    internal long Evict(long bytes)
    {
        long freed = 0;
        while (freed < bytes)
        {
            bool fromMru = _mru.Bytes > _p || _mfu.Bytes == 0;
            long got = EvictOne(fromMru ? _mru : _mfu);
            if (got == 0)
            {
                got = EvictOne(fromMru ? _mfu : _mru);
            }

            if (got == 0)
            {
                break;
            }

            freed += got;
        }

        return freed;
    }

    private static int Hash(ulong os, ulong obj, int level, ulong blockId)
    {
        ulong h = (os * 0x9E3779B97F4A7C15UL) ^ (obj * 0xC2B2AE3D27D4EB4FUL) ^ (blockId * 0x165667B19E3779F9UL) ^ ((ulong)level << 57);
        h ^= h >> 32;
        h *= 0xD6E8FEB86659FD93UL;
        h ^= h >> 32;
        return (int)(h & (BucketCount - 1));
    }

    private long EvictOne(ArcList list)
    {
        const int ScanMax = 64;
        _mutex.Enter();
        Dbuf? db = list.Tail;
        for (int i = 0; db is not null && i < ScanMax; i++)
        {
            Dbuf? prev = db.ArcPrev;
            if (Katomic.Load(ref db.Holds) == 0 && TryClaim(db))
            {
                byte* data = db.Data;
                int size = db.Size;
                Dnode dn = db.Dn!;
                list.Remove(db);
                db.Data = null;
                dn.RemoveFromList(db);
                ToGhost(db, list);
                _mutex.Exit();
                _evicted++;
                FreeBuffer(data, size);
                dn.ReleaseFromBlock();
                return size;
            }

            if (Katomic.Load(ref db.Holds) != 0)
            {
                // Held or dirty: out of the evictor's way, it comes round again.
                list.Remove(db);
                list.PushHead(db);
            }

            db = prev;
        }

        _mutex.Exit();
        return 0;
    }

    /// <summary>Marks an unheld block with contents as going. arc_mtx held.</summary>
    private bool TryClaim(Dbuf db)
    {
        Kmutex bucket = BucketOf(db);
        if (!bucket.TryEnter())
        {
            return false;
        }

        bool claimed = db.Data is not null && Katomic.CompareExchange(ref db.Holds, -1, 0) == 0;
        if (claimed)
        {
            // From here on nobody finds a holder in it; as a ghost it is resurrected under the bucket lock only.
            db.State = DbufState.Ghost;
        }

        bucket.Exit();
        return claimed;
    }

    private Kmutex BucketOf(Dbuf db) => _bucketLocks[Hash(db.Os!.Id, db.Object, db.Level, db.BlockId) & (LockCount - 1)];

    /// <summary>Keeps the name in a ghost list, or drops the oldest ghost names. arc_mtx held.</summary>
    private void ToGhost(Dbuf db, ArcList from)
    {
        ArcList ghost = ReferenceEquals(from, _mru) ? _mruGhost : _mfuGhost;
        db.Dn = null;
        ghost.PushHead(db);
        Katomic.Store(ref db.Holds, 0);
        for (int i = 0; i < 8 && (_mruGhost.Bytes + _mfuGhost.Bytes > _ghostBytesMax || _mruGhost.Count + _mfuGhost.Count > _ghostCountMax); i++)
        {
            ArcList longer = _mruGhost.Bytes > _mfuGhost.Bytes ? _mruGhost : _mfuGhost;
            if (longer.Tail is not { } oldest || !TryForget(oldest))
            {
                break;
            }
        }
    }

    /// <summary>Removes a ghost name for good. arc_mtx held.</summary>
    private bool TryForget(Dbuf ghost)
    {
        Kmutex bucket = BucketOf(ghost);
        if (!bucket.TryEnter())
        {
            return false;
        }

        bool ok = ghost.State == DbufState.Ghost && ghost.ArcList is not null;
        if (ok)
        {
            Unhash(ghost);
            ghost.ArcList!.Remove(ghost);
        }

        bucket.Exit();
        if (ok)
        {
            PutFree(ghost);
        }

        return ok;
    }

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
        dn.HoldFromBlock();
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

    private void DropIfEmpty(Dbuf db)
    {
        Kmutex bucket = BucketOf(db);
        _mutex.Enter();
        bucket.Enter();
        bool mine = db.State == DbufState.Uncached && db.Data is null && db.Dn is not null && db.DirtyMask == 0
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
        if (mine)
        {
            dn!.ReleaseFromBlock();
        }
    }

    private void DropFrom(ArcList list, Objset os)
    {
        while (true)
        {
            _mutex.Enter();
            Dbuf? db = list.Head;
            while (db is not null && !ReferenceEquals(db.Os, os))
            {
                db = db.ArcNext;
            }

            if (db is null)
            {
                _mutex.Exit();
                return;
            }

            if (list.IsGhost)
            {
                if (!TryForget(db))
                {
                    _mutex.Exit();
                    throw new InvalidOperationException($"ghost {db} is busy at unmount");
                }

                _mutex.Exit();
                continue;
            }

            if (db.DirtyMask != 0 || !TryClaim(db))
            {
                _mutex.Exit();
                throw new InvalidOperationException($"{db} is held ({db.Holds}) or dirty ({db.DirtyMask:x}) at unmount");
            }

            byte* data = db.Data;
            int size = db.Size;
            Dnode dn = db.Dn!;
            list.Remove(db);
            db.Data = null;
            dn.RemoveFromList(db);
            BucketOf(db).Enter();
            Unhash(db);
            BucketOf(db).Exit();
            PutFree(db);
            _mutex.Exit();
            FreeBuffer(data, size);
            dn.ReleaseFromBlock();
        }
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
        db.Size = 0;
        db.Data = null;
        db.State = DbufState.Uncached;
        db.Holds = 1;
        db.ArcTouchedNs = 0;
        db.IndirectDirty = false;
        db.HashNext = _buckets[h];
        _buckets[h] = db;
        dn.HoldFromBlock();
        dn.AddToList(db);
    }

    private void Unhash(Dbuf db)
    {
        int h = Hash(db.Os!.Id, db.Object, db.Level, db.BlockId);
        ref Dbuf? link = ref _buckets[h];
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
            db.Charge = _dbufCache.Alloc(DmuTx.CurrentAllocFlags);
        }

        return db;
    }

    private void Recycle(Dbuf db)
    {
        _mutex.Enter();
        PutFree(db);
        _mutex.Exit();
    }

    private void PutFree(Dbuf db)
    {
        db.Os = null;
        db.Dn = null;
        db.Size = 0;
        FreeCharge(db);
        db.HashNext = _free;
        _free = db;
        _freeCount++;
    }

    private void FreeCharge(Dbuf db)
    {
        if (db.Charge is not null)
        {
            _dbufCache.Free(db.Charge);
            db.Charge = null;
        }
    }
}
