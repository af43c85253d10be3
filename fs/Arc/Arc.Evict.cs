using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>How blocks leave the cache: by the shrinker, by an allocation above the target size, and at unmount.</summary>
public sealed unsafe partial class Arc
{
    /// <summary>Blocks looked at in one go.</summary>
    private const int ScanMax = 64;

    /// <summary>Evictors that have taken a block out of its list and still hold its dnode.</summary>
    private int _going;

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

        // An evictor may have taken a block out of its list and not let go of the dnode yet.
        while (Katomic.Load(ref _going) != 0)
        {
            Kthread.Yield();
        }
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

    private long EvictOne(ArcList list)
    {
        _mutex.Enter();
        Dbuf? db = list.Tail;
        for (int i = 0; db is not null && i < ScanMax; i++)
        {
            Dbuf? prev = db.ArcPrev;
            if (Katomic.Load(ref db.Holds) == 0 && TryClaim(db, wait: false))
            {
                byte* data = db.Data;
                int size = db.Size;
                Dnode dn = db.Dn!;
                list.Remove(db);
                db.Data = null;
                dn.RemoveFromList(db);
                ToGhost(db, list);
                _evicted++;
                Katomic.Increment(ref _going);
                _mutex.Exit();
                FreeLate();
                FreeBuffer(data, size);
                dn.Release();
                Katomic.Decrement(ref _going);
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
    private bool TryClaim(Dbuf db, bool wait)
    {
        Kmutex bucket = BucketOf(db);
        if (!EnterBucket(bucket, wait))
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

    /// <summary>Too many small blocks: two go for each that comes.</summary>
    private void TrimManaged()
    {
        if (ManagedBytes > ManagedMaxBytes)
        {
            _ = Evict(1);
            _ = Evict(1);
        }
    }

    /// <summary>The evictor passes over a bucket that is busy; an unmount, which holds nothing else, waits for it.</summary>
    private static bool EnterBucket(Kmutex bucket, bool wait)
    {
        if (!wait)
        {
            return bucket.TryEnter();
        }

        bucket.Enter();
        return true;
    }

    private bool GhostsTooMany => _mruGhost.Bytes + _mfuGhost.Bytes > _ghostBytesMax || _mruGhost.Count + _mfuGhost.Count > _ghostCountMax
        || ManagedBytes > ManagedMaxBytes;

    /// <summary>Keeps the name in a ghost list, or drops the oldest ghost names. arc_mtx held.</summary>
    private void ToGhost(Dbuf db, ArcList from)
    {
        ArcList ghost = ReferenceEquals(from, _mru) ? _mruGhost : _mfuGhost;
        db.Dn = null;
        ghost.PushHead(db);
        Katomic.Store(ref db.Holds, 0);
        for (int i = 0; i < 8 && GhostsTooMany; i++)
        {
            ArcList longer = _mruGhost.Bytes > _mfuGhost.Bytes || _mfuGhost.Count == 0 ? _mruGhost : _mfuGhost;
            if (longer.Tail is not { } oldest || !TryForget(oldest, wait: false))
            {
                break;
            }
        }
    }

    /// <summary>Removes a ghost name for good. arc_mtx held.</summary>
    private bool TryForget(Dbuf ghost, bool wait)
    {
        Kmutex bucket = BucketOf(ghost);
        if (!EnterBucket(bucket, wait))
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
                if (!TryForget(db, wait: true))
                {
                    _mutex.Exit();
                    throw new InvalidOperationException($"ghost {db} is busy at unmount");
                }

                _mutex.Exit();
                FreeLate();
                continue;
            }

            if (db.DirtyMask != 0 || !TryClaim(db, wait: true))
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
            FreeLate();
            FreeBuffer(data, size);
            dn.Release();
        }
    }

    /// <summary>arc_mtx held; <see cref="FreeLate"/> must follow when it is not: to free an object may take memory for the queue that it goes to.</summary>
    private void PutFree(Dbuf db)
    {
        db.Os = null;
        db.Dn = null;
        db.Size = 0;
        if (db.Charge is not null)
        {
            *(byte**)db.Charge = _late;
            _late = db.Charge;
            db.Charge = null;
        }

        if (_freeCount >= FreeMax)
        {
            return;
        }

        db.HashNext = _free;
        _free = db;
        _freeCount++;
    }

    private void FreeLate()
    {
        if (_late is null)
        {
            return;
        }

        _mutex.Enter();
        byte* charge = _late;
        _late = null;
        _mutex.Exit();
        while (charge is not null)
        {
            byte* next = *(byte**)charge;
            _dbufCache.Free(charge);
            CountManaged(-DbufCharge);
            charge = next;
        }
    }

    private void FreeCharge(Dbuf db)
    {
        if (db.Charge is not null)
        {
            _dbufCache.Free(db.Charge);
            db.Charge = null;
            CountManaged(-DbufCharge);
        }
    }
}
