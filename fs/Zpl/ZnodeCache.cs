using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// The znodes in memory of one file system: found by object number, counted while in use, kept for a while when not.
/// </summary>
/// <remarks>
/// <para>A znode is in use while an operation holds a reference or a handle is open on it. The kernel's knowledge of a node
/// does not count: FUSE requests carry the object number, and the znode is read in again. An unused znode stands in a list,
/// oldest first, from which reclaim (see ZnodeCache.Reclaim.cs) and a limit on its length take.</para>
/// <para>Locks: one mutex guards everything here. It is a leaf: nothing is allocated, waited for, or locked under it, so a
/// shrinker that takes it by try, in a thread that may hold any other lock, is safe.</para>
/// </remarks>
public sealed unsafe partial class ZnodeCache : IShrinker
{
    private const int InitialBuckets = 1024;
    private const int FreeMax = 4096;

    /// <summary>A znode on the managed heap, bytes: the object, its locks, its share of the table; counted by the ARC.</summary>
    internal const int ManagedBytes = 512;

    private readonly Zfsvfs _owner;
    private readonly Objset _os;
    private readonly KmemCache _memory = KmemCache.Create("zfs_znode_cache", sizeof(ZnodeMemory));
    private readonly Kmutex _mutex = new("zfs_znode_cache");
    private readonly Kcondvar _loaded = new("zfs_znode_loaded");
    private Znode?[] _buckets = new Znode?[InitialBuckets];
    private Znode? _free;
    private Znode? _lruHead;
    private Znode? _lruTail;
    private Znode? _dirtyHead;
    private Znode? _dirtyTail;
    private int _count;
    private int _freeCount;
    private int _lruCount;
    private int _dirtyCount;
    private ulong _evictedTxg;
    private ZnodeCacheStats _stats;

    internal ZnodeCache(Zfsvfs owner, Objset os, int unusedMax)
    {
        _owner = owner;
        _os = os;
        UnusedMax = unusedMax;
    }

    /// <summary>How many unused znodes are kept.</summary>
    public int UnusedMax { get; set; }

    /// <summary>The counters.</summary>
    public ZnodeCacheStats Stats
    {
        get
        {
            _mutex.Enter();
            ZnodeCacheStats s = _stats;
            s.InMemory = _count;
            s.Unused = _lruCount;
            s.InactiveQueued = _inactiveCount;
            _mutex.Exit();
            return s;
        }
    }

    /// <summary>Finds or reads in a file, and takes a reference. 0 or ESTALE; throws on I/O errors and damage.</summary>
    internal int Get(ulong obj, out Znode? result)
    {
        Znode? fresh = null;
        _mutex.Enter();
        while (true)
        {
            Znode? z = Find(obj);
            if (z is null)
            {
                if (fresh is not null)
                {
                    break;
                }

                _mutex.Exit();
                fresh = New();
                _mutex.Enter();
            }
            else if (z.State == ZnodeState.Loading)
            {
                _loaded.Wait(_mutex, z);
            }
            else
            {
                bool alive = z.State == ZnodeState.Ready;
                if (alive)
                {
                    Reference(z);
                }

                _mutex.Exit();
                Discard(fresh);
                result = alive ? z : null;
                return alive ? 0 : Errno.ESTALE;
            }
        }

        fresh.Object = obj;
        fresh.State = ZnodeState.Loading;
        fresh.Loader = Kthread.Current;
        fresh.References = 1;
        AddToHash(fresh);
        _mutex.Exit();
        return Load(fresh, out result);
    }

    /// <summary>Finds a file that is in memory, and takes a reference; null if it is not.</summary>
    internal Znode? TryGetCached(ulong obj)
    {
        _mutex.Enter();
        Znode? z = Find(obj);
        z = z is { State: ZnodeState.Ready } ? z : null;
        if (z is not null)
        {
            Reference(z);
        }

        _mutex.Exit();
        return z;
    }

    /// <summary>A znode for <see cref="Insert"/>, made before the transaction.</summary>
    internal Znode New()
    {
        _mutex.Enter();
        Znode? z = _free;
        if (z is not null)
        {
            _free = z.ListNext;
            z.ListNext = null;
            _freeCount--;
        }

        _mutex.Exit();
        z ??= new Znode();
        z.Memory = (ZnodeMemory*)_memory.Alloc(DmuTx.CurrentAllocFlags);
        _os.Spa.Arc.CountManaged(ManagedBytes);
        *z.Memory = default;
        return z;
    }

    /// <summary>Gives back what <see cref="New"/> made; null is fine.</summary>
    internal void Discard(Znode? z)
    {
        if (z is not null)
        {
            _memory.Free((byte*)z.Memory);
            _os.Spa.Arc.CountManaged(-ManagedBytes);
            z.Memory = null;
            z.Dnode = null;
            z.State = ZnodeState.Free;
            z.Unlinked = false;
            z.Linkable = false;
            z.LastTxg = 0;
            z.Loader = null;
            _mutex.Enter();
            if (_freeCount < FreeMax)
            {
                z.ListNext = _free;
                _free = z;
                _freeCount++;
            }

            _mutex.Exit();
        }
    }

    /// <summary>Enters a new file, whose bonus is filled in. The cache takes over the hold of the dnode; the caller has a reference.</summary>
    internal void Insert(Znode z, Dnode dn, ulong txg)
    {
        z.Object = dn.Object;
        z.Dnode = dn;
        z.State = ZnodeState.Ready;
        z.References = 1;
        z.LastTxg = txg;
        TakeAtime(z);
        _mutex.Enter();

        // A predecessor under this number is on its way out, or is being looked for through a stale handle.
        if (Find(dn.Object) is { } old)
        {
            RemoveFromHash(old);
            old.State = old.State == ZnodeState.Loading ? ZnodeState.Loading : ZnodeState.Dead;
        }

        AddToHash(z);
        _mutex.Exit();
    }

    /// <summary>
    /// Drops a reference. Never inside a transaction and never under a lock of the ZPL: the last one of an unlinked file frees
    /// it, in transactions.
    /// </summary>
    internal void Put(Znode z)
    {
        _mutex.Enter();
        if (z.References == 1 && z.Opens == 0)
        {
            if (z.State == ZnodeState.Ready && z.Unlinked)
            {
                z.State = ZnodeState.Dead;
                _mutex.Exit();
                _owner.FreeUnlinked(z);
                _mutex.Enter();
            }

            if (z.State == ZnodeState.Dead || !z.InHash)
            {
                z.References = 0;
                Detach(z);
                _mutex.Exit();
                Release(z);
                return;
            }

            z.References = 0;
            AppendLru(z);
            bool trim = _lruCount > UnusedMax;
            _mutex.Exit();
            if (trim)
            {
                Trim();
            }

            return;
        }

        z.References--;
        _mutex.Exit();
    }

    /// <summary>
    /// Claims an unlinked file for freeing at once: true if the caller's reference is the only one and no handle is open. From
    /// then on nobody finds it.
    /// </summary>
    internal bool TryKill(Znode z)
    {
        _mutex.Enter();
        bool only = z.References == 1 && z.Opens == 0 && z.State == ZnodeState.Ready;
        if (only)
        {
            z.State = ZnodeState.Dead;
        }

        _mutex.Exit();
        return only;
    }

    /// <summary>Counts an open handle on a referenced znode, or with -1 takes that back.</summary>
    internal void Open(Znode z, int change = 1)
    {
        _mutex.Enter();
        z.Opens += change;
        _mutex.Exit();
    }

    /// <summary>Ends an open handle: 0 or EBADF.</summary>
    internal int Close(ulong obj)
    {
        _mutex.Enter();
        Znode? z = Find(obj);
        if (z is null || z.Opens == 0)
        {
            _mutex.Exit();
            return Errno.EBADF;
        }

        z.Opens--;
        z.References++;
        _mutex.Exit();
        Put(z);
        return 0;
    }

    /// <summary>Notes that the access time in memory is later than the one on disk. Not under z_lock.</summary>
    internal void NoteAtimeDirty(Znode z)
    {
        _mutex.Enter();
        if (!z.OnDirtyList)
        {
            z.OnDirtyList = true;
            z.DirtyPrevious = _dirtyTail;
            z.DirtyNext = null;
            if (_dirtyTail is null)
            {
                _dirtyHead = z;
            }
            else
            {
                _dirtyTail.DirtyNext = z;
            }

            _dirtyTail = z;
            _dirtyCount++;
        }

        _mutex.Exit();
    }

    /// <summary>Writes the access times that are dirty now, each in a transaction of its own.</summary>
    internal void WriteAtimes()
    {
        _mutex.Enter();
        int left = _dirtyCount;
        while (left-- > 0 && _dirtyHead is { } z)
        {
            RemoveDirty(z);
            Reference(z);
            _mutex.Exit();
            _owner.WriteAtime(z);
            Put(z);
            _mutex.Enter();
        }

        _mutex.Exit();
    }

    /// <summary>Drops every znode and the cache itself; at unmount, when nothing runs any more.</summary>
    internal void Clear()
    {
        _mutex.Enter();
        for (int i = 0; i < _buckets.Length; i++)
        {
            while (_buckets[i] is { } z)
            {
                z.Opens = 0;
                z.References = 0;
                Detach(z);
                _mutex.Exit();
                Release(z);
                _mutex.Enter();
            }
        }

        _mutex.Exit();
        _memory.Destroy();
    }

    private int Load(Znode z, out Znode? result)
    {
        int error = Errno.ESTALE;
        try
        {
            Dnode? dn = _os.TryHoldObject(z.Object);
            if (dn is not null)
            {
                z.Dnode = dn;
                error = _owner.CheckZnode(dn);
                TakeAtime(z);
            }
        }
        catch
        {
            EndLoad(z, Errno.EIO);
            throw;
        }

        error = EndLoad(z, error);
        result = error == 0 ? z : null;
        return error;
    }

    private int EndLoad(Znode z, int error)
    {
        _mutex.Enter();
        z.Loader = null;
        if (error == 0 && z.InHash)
        {
            z.State = ZnodeState.Ready;
            z.LastTxg = _evictedTxg;
        }
        else
        {
            error = error == 0 ? Errno.ESTALE : error;
            z.References = 0;
            Detach(z);
        }

        _loaded.Broadcast();
        _mutex.Exit();
        if (error != 0)
        {
            Release(z);
        }

        return error;
    }

    private static void TakeAtime(Znode z)
    {
        if (z.Dnode!.BonusLength >= ZnodePhys.SizeOf)
        {
            z.Memory->AtimeSeconds = z.Phys->AtimeSeconds;
            z.Memory->AtimeNanoseconds = z.Phys->AtimeNanoseconds;
        }

        z.Memory->AtimeDirty = 0;
    }

    /// <summary>The end of a znode that is in no list any more: without the mutex.</summary>
    private void Release(Znode z)
    {
        z.Dnode?.Release();
        Discard(z);
    }

    private void Reference(Znode z)
    {
        RemoveFromList(z);
        z.References++;
    }

    /// <summary>Takes a znode out of every structure.</summary>
    private void Detach(Znode z)
    {
        RemoveFromList(z);
        RemoveDirty(z);
        if (z.InHash)
        {
            RemoveFromHash(z);
        }

        if (z.LastTxg > _evictedTxg)
        {
            _evictedTxg = z.LastTxg;
        }
    }

    private Znode? Find(ulong obj)
    {
        Znode? z = _buckets[Bucket(obj)];
        while (z is not null && z.Object != obj)
        {
            z = z.HashNext;
        }

        return z;
    }

    private int Bucket(ulong obj) => (int)((obj * 0x9E3779B97F4A7C15UL) >> 32) & (_buckets.Length - 1);

    private void AddToHash(Znode z)
    {
        if (_count >= _buckets.Length)
        {
            Grow();
        }

        int b = Bucket(z.Object);
        z.HashNext = _buckets[b];
        _buckets[b] = z;
        z.InHash = true;
        _count++;
    }

    private void Grow()
    {
        Znode?[] old = _buckets;
        _buckets = new Znode?[old.Length * 2];
        foreach (Znode? head in old)
        {
            for (Znode? z = head; z is not null;)
            {
                Znode? next = z.HashNext;
                int b = Bucket(z.Object);
                z.HashNext = _buckets[b];
                _buckets[b] = z;
                z = next;
            }
        }
    }

    private void RemoveFromHash(Znode z)
    {
        int b = Bucket(z.Object);
        if (ReferenceEquals(_buckets[b], z))
        {
            _buckets[b] = z.HashNext;
        }
        else
        {
            Znode before = _buckets[b]!;
            while (!ReferenceEquals(before.HashNext, z))
            {
                before = before.HashNext!;
            }

            before.HashNext = z.HashNext;
        }

        z.HashNext = null;
        z.InHash = false;
        _count--;
    }

    private void AppendLru(Znode z)
    {
        z.On = ZnodeList.Lru;
        Append(ref _lruHead, ref _lruTail, z);
        _lruCount++;
    }

    private void RemoveFromList(Znode z)
    {
        if (z.On == ZnodeList.Lru)
        {
            Unlink(ref _lruHead, ref _lruTail, z);
            _lruCount--;
        }
        else if (z.On == ZnodeList.Inactive)
        {
            Unlink(ref _inactiveHead, ref _inactiveTail, z);
            _inactiveCount--;
        }

        z.On = ZnodeList.None;
    }

    private void RemoveDirty(Znode z)
    {
        if (!z.OnDirtyList)
        {
            return;
        }

        if (z.DirtyPrevious is null)
        {
            _dirtyHead = z.DirtyNext;
        }
        else
        {
            z.DirtyPrevious.DirtyNext = z.DirtyNext;
        }

        if (z.DirtyNext is null)
        {
            _dirtyTail = z.DirtyPrevious;
        }
        else
        {
            z.DirtyNext.DirtyPrevious = z.DirtyPrevious;
        }

        z.DirtyNext = null;
        z.DirtyPrevious = null;
        z.OnDirtyList = false;
        _dirtyCount--;
    }

    private static void Append(ref Znode? head, ref Znode? tail, Znode z)
    {
        z.ListNext = null;
        z.ListPrevious = tail;
        if (tail is null)
        {
            head = z;
        }
        else
        {
            tail.ListNext = z;
        }

        tail = z;
    }

    private static void Unlink(ref Znode? head, ref Znode? tail, Znode z)
    {
        if (z.ListPrevious is null)
        {
            head = z.ListNext;
        }
        else
        {
            z.ListPrevious.ListNext = z.ListNext;
        }

        if (z.ListNext is null)
        {
            tail = z.ListPrevious;
        }
        else
        {
            z.ListNext.ListPrevious = z.ListPrevious;
        }

        z.ListNext = null;
        z.ListPrevious = null;
    }
}
