using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The slabs of the SPL engine: the allocator of the Solaris Porting Layer, as it stood at the end of its history, and, under the
/// older policies, as it stood on the way there.
/// <para>
/// A slab is a run of pages, contiguous (KMC_KMEM) or mapped through vmalloc (KMC_VMEM), that begins with a header; each object is
/// followed by a header of its own, which says whose it is and whether it is out (<see cref="SplEngineGeometry"/>). Partial slabs are in one
/// list: one that gets an object back goes to its head, a new or empty one to its tail; objects are taken from the head. Full slabs
/// are in a second list, so that live objects can be named. An empty slab is freed at once, by whoever emptied it: unlinked from the
/// tail under the lock, freed outside. Magazines and constructors are the business of <see cref="KmemCache"/>.
/// </para>
/// <para>
/// Growth is what the engine is remembered for (SplEngineGrowth.cs). vmalloc took its page tables with GFP_KERNEL, whatever
/// the caller had asked for, so a thread that must not enter the file system did. The cure of 2012: a slab is made by a worker, the
/// callers wait for it a while and, if it does not come, make do with an emergency object: the pages of one object, with the
/// caller's own flags, kept in a tree by address and never in a magazine. The rest of the history is about who may wait for whom.
/// </para>
/// <code>
/// policy     who grows                emergency objects   marks
/// none       every caller, alone      none                none
/// pushpage   a worker, for all, with  none                none
///            the first one's flags
/// emergency  the same                 for mapped slabs    none
/// txcookie   the same                 for all             none
/// fstrans    the same; contiguous     for all; mapped     the worker is marked while it grows
///            slabs inline first       together if need be
/// </code>
/// <para>Invariants.</para>
/// <para>
/// 1. KM_NOSLEEP never waits: not for memory, not for a growth, not for a reaper (2023).
/// 2. At most one growth of a cache is under way. It ends once, under the lock, with success or failure; whoever waited learns which.
/// 3. DEADLOCKED is set by an allocation that waited its time in vain and cleared by a slab that came, by nothing else; while it
///    is set nobody waits for a growth who may have an emergency object instead.
/// 4. Every wait is on the record: <c>growth of cache X</c> names the worker that grows it, <c>reaping of cache X</c> the reaper.
/// 5. No page is allocated, freed or mapped, and no callback run, with the lock held.
/// 6. The tree holds exactly the pages of kind <see cref="PageKind.Emergency"/> that name this cache.
/// </para>
/// <para>
/// Lock order: the registry of caches → spl_kmem_cache (this lock) → the mutex of the growth queue. The lists of
/// <see cref="SplEngineShared"/> have leaf locks of their own. A magazine may be held while this lock is taken, never the other way.
/// </para>
/// <para>
/// What it repeats, since it is history: slabs of several large objects, which one live object pins; headers that spoil natural
/// alignment; a switch of threads for each mapped slab. What it mends: a growth that fails tells its waiters, who go to the emergency path
/// at once (upstream they sat out 100 ms, for ever anew); a slab made for waiters is not reaped before one of them took from it; an object that comes back wakes those whose wait has a limit; under
/// fstrans a reaper is not waited for without one; a thread in reclaim neither waits for a reaper nor, under fstrans, for a worker that may have to reclaim; the worker takes over its first
/// caller's place on the reserve ladder; where contiguous pages can't be had for an emergency object (an arena of fixed size stays
/// fragmented), fstrans maps scattered ones, whose tables honour the flags here; emergency objects have no header, and take exact pages, not a power of two.
/// Slabs and magazines are scaled down on a small arena. Under pressure, with somebody waiting for memory, the magazines of all CPUs
/// are flushed: they are entered by try-lock, so the race that limited upstream to the local one is not there. The faults of history, one by
/// one, are in Kmem.Tests, FaultsA7.
/// </para>
/// </summary>
internal sealed unsafe partial class SplEngine : SlabEngine
{
    private readonly PageDesc[] _pages;
    private readonly SplEngineGeometry _geometry;
    private readonly SplEngineShared _shared;
    private readonly Kmutex _lock = new("spl_kmem_cache");
    private SplSlab* _partialHead;
    private SplSlab* _partialTail;
    private SplSlab* _complete;
    private SplEngineTree _emergency;
    private long _slabTotal;
    private long _slabMax;
    private long _slabAlloc;
    private long _objectTotal;
    private long _objectOut;
    private long _objectMax;
    private long _emergencyMax;
    private long _bytes;
    private long _deadlocks;

    internal SplEngine(
        KmemSystem system, string name, int size, int align, KmemCacheFlags flags, KmemObjectAction? constructor, KmemObjectAction? destructor)
        : base(system, name, flags)
    {
        _slabLife = system.Options.Spl.SlabLife;
        _constructor = _slabLife ? constructor : null;
        _destructor = _slabLife ? destructor : null;
        _pages = system.Mapping.Pages;
        _geometry = new SplEngineGeometry(name, size, align, flags, system.Options.Spl, system.ArenaBytes);
        _shared = system.Spl;
        _emergency = new SplEngineTree(_pages);
        _rules = new SplEngineRules(system.Policy, _geometry.Mapped, flags);
        _growth = new Growth(this);
        _growthWait = new GrowthWait(this);
        _reapWait = new ReapWait(this);
    }

    /// <inheritdoc/>
    internal override int QueueSize => _geometry.MagazineSize(System.Options.Spl, System.ArenaBytes, Kthread.CpuCount);

    /// <summary>How its slabs are cut.</summary>
    internal ref readonly SplEngineGeometry Geometry => ref _geometry;

    /// <summary>Objects out of their slabs, a guess.</summary>
    internal long ObjectsOut => _objectOut;

    /// <summary>Levels of the tree of emergency objects.</summary>
    internal int EmergencyHeight => _emergency.Height;

    /// <inheritdoc/>
    internal override byte* Refill(Magazine magazine)
    {
        byte* obj = null;
        _lock.Enter();
        if (_partialHead != null)
        {
            obj = TakeObject();
            int more = Math.Min(magazine.Batch, magazine.Capacity) - 1;
            while (magazine.Count < more && _partialHead != null)
            {
                magazine.Objects[magazine.Count++] = TakeObject();
            }
        }

        _lock.Exit();
        return obj;
    }

    /// <inheritdoc/>
    internal override byte* TryTake()
    {
        byte* obj = null;
        _lock.Enter();
        if (_partialHead != null)
        {
            obj = TakeObject();
        }

        _lock.Exit();
        return obj;
    }

    /// <inheritdoc/>
    internal override void Put(byte* obj, int page)
    {
        if (_pages[page].Kind == PageKind.Emergency)
        {
            PutEmergency(obj, page);
            return;
        }

        _lock.Enter();
        PutObject(obj, page);
        WakeLimitedWaiters();
        bool trim = HasEmptySlab;
        _lock.Exit();
        if (trim)
        {
            ReclaimSlabs(int.MaxValue);
        }

        System.Pages.Signal();
    }

    /// <inheritdoc/>
    internal override void Flush(Magazine magazine, int count, bool toSlabs)
    {
        _lock.Enter();
        for (int i = 0; i < count; i++)
        {
            byte* obj = magazine.Objects[i];
            PutObject(obj, System.Mapping.IndexOf(obj));
        }

        int left = magazine.Count - count;
        new ReadOnlySpan<nint>(magazine.Objects + count, left).CopyTo(new Span<nint>(magazine.Objects, left));
        magazine.Count = left;
        WakeLimitedWaiters();
        bool trim = HasEmptySlab;
        _lock.Exit();
        if (trim)
        {
            ReclaimSlabs(int.MaxValue);
        }
    }

    /// <inheritdoc/>
    internal override void Close()
    {
        _shared.Finish(_growth);
        ReclaimSlabs(int.MaxValue);
        SlabEngineStats left = Statistics();
        if (left.ObjectsTotal != 0 || left.SlabsTotal != 0)
        {
            throw new InvalidOperationException($"cache {Name} ends with {left.ObjectsOut} objects out of its {left.SlabsTotal} slabs");
        }
    }

    /// <inheritdoc/>
    internal override void Shrink() => ReclaimSlabs(int.MaxValue);

    /// <inheritdoc/>
    internal override bool IsObject(byte* obj, int page)
    {
        ref PageDesc d = ref _pages[page];
        if (d.Kind == PageKind.Emergency || _geometry.OffSlab)
        {
            return obj == System.Mapping.Address(page) && d.Data != 0;
        }

        long offset = obj - System.Mapping.Address(d.Head) - _geometry.FirstObject;
        return offset >= 0 && offset % _geometry.ObjectBytes == 0 && offset / _geometry.ObjectBytes < SlabAt(d.Head)->Objects;
    }

    /// <inheritdoc/>
    internal override int FindLive(Span<nint> addresses)
    {
        int found = 0;
        _lock.Enter();
        for (SplSlab* slab = _complete; slab != null; slab = slab->Next)
        {
            found = FindLive(slab, addresses, found);
        }

        for (SplSlab* slab = _partialHead; slab != null; slab = slab->Next)
        {
            found = FindLive(slab, addresses, found);
        }

        for (int page = _emergency.After(-1); page >= 0 && found < addresses.Length; page = _emergency.After(page))
        {
            addresses[found++] = (nint)System.Mapping.Address(page);
        }

        _lock.Exit();
        return found;
    }

    /// <inheritdoc/>
    internal override SlabEngineStats Statistics()
    {
        _lock.Enter();
        var stats = new SlabEngineStats
        {
            SlabSize = _geometry.Pages << ArenaMapping.PageShift,
            SlabsTotal = _slabTotal,
            SlabsAllocated = _slabAlloc,
            SlabsMax = _slabMax,
            ObjectsTotal = _objectTotal,
            ObjectsOut = _objectOut,
            ObjectsMax = _objectMax,
            Bytes = _bytes,
            Emergency = _emergency.Count,
            EmergencyMax = _emergencyMax,
            GrowthDeadlocks = _deadlocks,
        };
        _lock.Exit();
        return stats;
    }

    /// <summary>Frees up to so many empty slabs, from the tail of the partial list up to the first that isn't empty.</summary>
    /// <returns>Objects that went with them.</returns>
    private long ReclaimSlabs(int most, long emptySinceNs = long.MaxValue)
    {
        SplSlab* unlinked = null;
        long objects = 0;
        _lock.Enter();
        SplSlab* next = NextEmpty(_partialTail, emptySinceNs);
        while (most-- > 0 && next != null)
        {
            SplSlab* slab = next;
            SplSlab* before = slab->Prev;
            Unlink(slab);
            next = NextEmpty(before, emptySinceNs);
            slab->Next = unlinked;
            unlinked = slab;
            objects += slab->Objects;
            _slabTotal--;
            _bytes -= BytesOf(slab);
        }

        _objectTotal -= objects;
        _lock.Exit();
        while (unlinked != null)
        {
            SplSlab* slab = unlinked;
            unlinked = slab->Next;
            ForEachObject(slab, _destructor);
            FreeSlab(slab);
        }

        return objects;
    }

    /// <summary>There is a slab that should go at once. The lock is held.</summary>
    private bool HasEmptySlab => !_slabLife && NextEmpty(_partialTail, long.MaxValue) != null;

    /// <summary>Takes an object from the first partial slab. There is one; the lock is held.</summary>
    private byte* TakeObject()
    {
        SplSlab* slab = _partialHead;
        SplObject* header = slab->Free;
        if (slab->Magic != SplSlab.MagicValue || header == null || header->Magic != SplObject.InSlab)
        {
            _lock.Exit();
            throw new InvalidOperationException($"cache {Name}: the slab at 0x{(ulong)slab:x} is damaged: somebody wrote past the end of an object");
        }

        slab->Free = header->NextFree;
        header->Magic = SplObject.Out;
        header->NextFree = null;
        _slabAlloc += slab->InUse++ == 0 ? 1 : 0;
        _objectMax = Math.Max(_objectMax, ++_objectOut);
        if (slab->InUse == slab->Objects)
        {
            Unlink(slab);
            slab->Next = _complete;
            if (_complete != null)
            {
                _complete->Prev = slab;
            }

            _complete = slab;
        }

        return header->Address;
    }

    /// <summary>Gives an object back to its slab. The lock is held.</summary>
    private void PutObject(byte* obj, int page)
    {
        SplObject* header = (SplObject*)(obj + _geometry.HeaderAt);
        string? wrong = !IsObject(obj, page) ? "is no object"
            : header->Magic == SplObject.InSlab ? "is freed twice"
            : header->Magic != SplObject.Out || header->Address != obj ? "was written past its end"
            : null;
        if (wrong is not null)
        {
            _lock.Exit();
            throw new InvalidOperationException($"cache {Name}: 0x{(ulong)obj:x} {wrong}");
        }

        SplSlab* slab = SlabAt(header->SlabPage);
        bool full = slab->InUse == slab->Objects;
        header->Magic = SplObject.InSlab;
        header->NextFree = slab->Free;
        slab->Free = header;
        slab->InUse--;
        _objectOut--;
        if (full)
        {
            UnlinkComplete(slab);
            LinkHead(slab);
        }

        if (slab->InUse == 0)
        {
            _slabAlloc--;
            slab->EmptyAtNs = _slabLife ? Kclock.NowNs : 0;
            Unlink(slab);
            LinkTail(slab);
        }
    }

    private int FindLive(SplSlab* slab, Span<nint> addresses, int found)
    {
        for (int i = 0; i < slab->Objects && found < addresses.Length; i++)
        {
            byte* obj = ObjectAt(slab, i);
            if (((SplObject*)(obj + _geometry.HeaderAt))->Magic == SplObject.Out)
            {
                addresses[found++] = (nint)obj;
            }
        }

        return found;
    }

    private SplSlab* SlabAt(int page) => (SplSlab*)System.Mapping.Address(page);

    private byte* ObjectAt(SplSlab* slab, int index) => _geometry.OffSlab
        ? ((byte**)((byte*)slab + SplSlab.Bytes))[index]
        : (byte*)slab + _geometry.FirstObject + ((long)index * _geometry.ObjectBytes);

    private long BytesOf(SplSlab* slab) =>
        (long)(_geometry.Pages + (_geometry.OffSlab ? slab->Objects * _geometry.ObjectPages : 0)) << ArenaMapping.PageShift;

    private void LinkHead(SplSlab* slab)
    {
        slab->Prev = null;
        slab->Next = _partialHead;
        if (_partialHead != null)
        {
            _partialHead->Prev = slab;
        }
        else
        {
            _partialTail = slab;
        }

        _partialHead = slab;
    }

    private void LinkTail(SplSlab* slab)
    {
        slab->Next = null;
        slab->Prev = _partialTail;
        if (_partialTail != null)
        {
            _partialTail->Next = slab;
        }
        else
        {
            _partialHead = slab;
        }

        _partialTail = slab;
    }

    /// <summary>Takes a slab out of the partial list.</summary>
    private void Unlink(SplSlab* slab)
    {
        if (slab->Prev != null)
        {
            slab->Prev->Next = slab->Next;
        }
        else
        {
            _partialHead = slab->Next;
        }

        if (slab->Next != null)
        {
            slab->Next->Prev = slab->Prev;
        }
        else
        {
            _partialTail = slab->Prev;
        }

        slab->Prev = slab->Next = null;
    }

    private void UnlinkComplete(SplSlab* slab)
    {
        if (slab->Prev != null)
        {
            slab->Prev->Next = slab->Next;
        }
        else
        {
            _complete = slab->Next;
        }

        if (slab->Next != null)
        {
            slab->Next->Prev = slab->Prev;
        }
    }
}
