using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <content>How a cache grows: slabs, the growth worker, and emergency objects. One page of history per step of <see cref="Grow"/>.</content>
internal sealed unsafe partial class SplEngine
{
    private readonly SplEngineRules _rules;
    private readonly Growth _growth;
    private readonly GrowthWait _growthWait;
    private readonly Kcondvar _grown = new("spl_cache_grown");
    private Kthread? _grower;
    private KmFlags _growthFlags;
    private ThreadFlags _growthMarks;
    private long _growthNumber = 1;
    private long _failedGrowth;
    private bool _growing;
    private bool _deadlocked;

    /// <summary>Threads that wait for a growth. While there are any, the last slab with free objects is not reclaimed: whoever made
    /// it made it for them, and they may be slower than kswapd, every time anew.</summary>
    private int _expecting;

    private enum GrowStep
    {
        /// <summary>Look at the slabs again.</summary>
        Again,

        /// <summary>DEADLOCKED is set, or the growth failed: don't wait.</summary>
        Emergency,

        /// <summary>The growth failed, and there is nothing to fall back on.</summary>
        Failed,
    }

    /// <summary>KMC_BIT_GROWING: a growth is queued or runs. A guess.</summary>
    internal bool IsGrowing => _growing;

    /// <summary>KMC_BIT_DEADLOCKED. A guess.</summary>
    internal bool IsDeadlocked => _deadlocked;

    /// <summary>Growths that failed, over all time. A guess.</summary>
    internal long FailedGrowths { get; private set; }

    /// <inheritdoc/>
    internal override byte* Grow(KmFlags flags, Kthread self)
    {
        GfpMask gfp = Gfp.Convert(flags, System.Policy, self.Flags);
        if ((flags & KmFlags.NoSleep) != 0)
        {
            return GrowWithoutSleeping(gfp, self);
        }

        bool reclaiming = _rules.Final && Reclaimer.InReclaim(self);
        long deadlineNs = Kclock.NowNs + System.Options.OomTimeoutNs;
        while (true)
        {
            byte* obj = TryTake();
            if (obj != null)
            {
                return obj;
            }

            if (WaitForReaper(self))
            {
                continue;
            }

            if (!_rules.InWorker || !_shared.CanDispatch)
            {
                return AddAndTake(NewSlab(gfp, self));
            }

            // Without sleeping nothing can go wrong inline, and no threads are switched. vmalloc is left to the worker.
            if (_rules.Final && (reclaiming || !_geometry.Mapped))
            {
                SplSlab* slab = NewSlabInline(gfp, self);
                if (slab != null)
                {
                    return AddAndTake(slab);
                }
            }

            GrowStep step = reclaiming ? GrowStep.Emergency : GrowInWorker(flags, self, out obj);
            if (obj != null)
            {
                return obj;
            }

            if (step == GrowStep.Emergency)
            {
                obj = NewEmergency(gfp, self);
                if (obj != null)
                {
                    return obj;
                }

                WaitAfterFailure(deadlineNs);
            }
            else if (step == GrowStep.Failed)
            {
                throw new KmemExhaustedException($"cache {Name}: the growth that {self} waited for found no memory");
            }
        }
    }

    private byte* GrowWithoutSleeping(GfpMask gfp, Kthread self)
    {
        if (_rules.Emergency)
        {
            return NewEmergency(gfp, self);
        }

        SplSlab* slab = _geometry.Mapped ? null : NewSlab(gfp, self);
        return slab != null ? AddAndTake(slab) : null;
    }

    /// <summary>Starts a growth unless one is under way, and waits for its end, an object given back, or its own patience's.</summary>
    /// <param name="flags">The caller's.</param>
    /// <param name="self">The caller.</param>
    /// <param name="obj">An object, if there was one at the end of it; or null.</param>
    private GrowStep GrowInWorker(KmFlags flags, Kthread self, out byte* obj)
    {
        _shared.EnsureQueue();
        GrowStep step = GrowStep.Again;
        _lock.Enter();
        if (_partialHead == null)
        {
            _expecting++;
            step = AwaitGrowth(flags, self);
            _expecting--;
        }

        obj = _partialHead != null ? TakeObject() : null;
        bool trim = HasEmptySlab;
        _lock.Exit();
        if (trim)
        {
            ReclaimSlabs(int.MaxValue);
        }

        return step;
    }

    /// <summary>The lock is held.</summary>
    private GrowStep AwaitGrowth(KmFlags flags, Kthread self)
    {
        if (!_growing)
        {
            _growing = true;
            _growthFlags = flags;
            _growthMarks = _rules.Final ? ThreadFlags.Fstrans | (self.Flags & ThreadFlags.SyncPath) : ThreadFlags.None;
            _shared.Dispatch(_growth);
        }

        long mine = _growthNumber;
        if (_rules.Emergency && _deadlocked)
        {
            return GrowStep.Emergency;
        }

        if (!WaitForGrowth(mine))
        {
            _deadlocked = true;
            _deadlocks++;
        }
        else if (_failedGrowth == mine)
        {
            return _rules.Emergency ? GrowStep.Emergency : GrowStep.Failed;
        }

        return GrowStep.Again;
    }

    /// <summary>Waits for the end of a growth. The lock is held. False: the time is up and it still goes on.</summary>
    private bool WaitForGrowth(long number)
    {
        long deadlineNs = _rules.Emergency ? Kclock.NowNs + System.Options.Spl.GrowTimeoutNs : long.MaxValue;
        while (_growthNumber == number && !(_rules.Emergency && _partialHead != null))
        {
            if (!_grown.WaitUntil(_lock, deadlineNs, _growthWait) && _growthNumber == number)
            {
                return _partialHead != null;
            }
        }

        return true;
    }

    /// <summary>No contiguous pages for an emergency object: a pause, until a growth ends or an object comes back. On the record.</summary>
    private void WaitAfterFailure(long deadlineNs)
    {
        long now = Kclock.NowNs;
        if (now >= deadlineNs)
        {
            throw new KmemExhaustedException($"cache {Name}: no slab, and no {_geometry.EmergencyPages} contiguous pages for an emergency object");
        }

        _lock.Enter();
        if (_partialHead == null)
        {
            _grown.WaitUntil(_lock, now + System.Options.Spl.GrowTimeoutNs, _growing ? _growthWait : MemoryWait.Instance);
        }

        _lock.Exit();
    }

    /// <summary>Wakes those whose wait for a growth has a limit: an object came back. The others wait for the growth, and nothing
    /// else, so that the record of their wait is the truth. The lock is held.</summary>
    private void WakeLimitedWaiters()
    {
        if (_rules.Emergency && _grown.HasWaiters)
        {
            _grown.Broadcast();
        }
    }

    /// <summary>The worker: makes a slab with the flags of the first caller, links it, then clears GROWING, then wakes.</summary>
    private void RunGrowth()
    {
        Kthread self = Kthread.Current;
        _lock.Enter();
        _grower = self;
        KmFlags flags = _growthFlags;
        ThreadFlags marks = _growthMarks;
        _lock.Exit();

        ThreadFlags saved = self.Flags;
        self.Flags |= marks;
        SplSlab* slab = null;
        try
        {
            slab = NewSlab(Gfp.Convert(flags, System.Policy, self.Flags), self);
        }
        catch (KmemExhaustedException)
        {
            // Those who wait are told below, and each finds out for itself whether it can go on.
        }
        finally
        {
            self.Flags = saved;
        }

        _lock.Enter();
        if (slab != null)
        {
            AddSlab(slab);
        }
        else
        {
            _failedGrowth = _growthNumber;
            FailedGrowths++;
        }

        _grower = null;
        _growing = false;
        _growthNumber++;
        _grown.Broadcast();
        _lock.Exit();
    }

    /// <summary>One object in pages of its own, with the caller's flags; or one that came back meanwhile. Null: the mask does not
    /// allow sleeping, or there are no contiguous pages.</summary>
    private byte* NewEmergency(GfpMask gfp, Kthread self)
    {
        Stall stall = default;
        byte* obj;
        while (true)
        {
            obj = TryTake();
            if (obj != null)
            {
                break;
            }

            int pages = _geometry.EmergencyPages;
            int page = pages <= MemoryNode.MaxPages ? System.Pages.Try(pages, gfp, self) : PageAllocator.Fragmented;
            if (page == PageAllocator.Fragmented && _rules.Final)
            {
                page = System.Vmalloc.Alloc(pages, gfp, self);
            }

            if (page >= 0)
            {
                obj = AddEmergency(page);
                break;
            }

            if (page == PageAllocator.Fragmented || !System.Pages.Retry(ref stall, pages, gfp, self))
            {
                break;
            }
        }

        System.Pages.EndStall(ref stall);
        return obj;
    }

    private void PutEmergency(byte* obj, int page)
    {
        _lock.Enter();
        bool known = obj == System.Mapping.Address(page) && _emergency.Remove(page);
        if (known)
        {
            _objectTotal--;
            _objectOut--;
            _bytes -= (long)_geometry.EmergencyPages << ArenaMapping.PageShift;
        }

        _lock.Exit();
        if (!known)
        {
            throw new InvalidOperationException($"cache {Name}: 0x{(ulong)obj:x} is no object, or is freed twice");
        }

        _destructor?.Invoke(obj);
        System.FreePages(page, _geometry.EmergencyPages);
    }

    /// <summary>Its owner is of this engine, but none that a magazine takes: a free of it always comes here.</summary>
    private byte* AddEmergency(int page)
    {
        ref PageDesc d = ref _pages[page];
        d.Kind = PageKind.Emergency;
        d.Owner = OwnerOf(0, reserve: true);
        d.Head = page;
        d.Pages = _geometry.EmergencyPages;
        d.Data = 1;
        byte* obj = System.Mapping.Address(page);
        if (JunksNewSlabs)
        {
            Poison.FillFree(obj, (long)_geometry.EmergencyPages << ArenaMapping.PageShift);
        }

        _lock.Enter();
        bool added = _emergency.Add(page);
        _emergencyMax = Math.Max(_emergencyMax, _emergency.Count);
        _objectTotal++;
        _objectMax = Math.Max(_objectMax, ++_objectOut);
        _bytes += (long)_geometry.EmergencyPages << ArenaMapping.PageShift;
        _lock.Exit();
        _constructor?.Invoke(obj);
        return added ? obj : throw new InvalidOperationException($"cache {Name}: page {page} is an emergency object already");
    }

    /// <summary>As NewSlab, without sleeping, and without what only a thread in reclaim may have: the other objects of the slab
    /// are for anybody. What such a thread takes from the reserve is one emergency object at a time.</summary>
    private SplSlab* NewSlabInline(GfpMask gfp, Kthread self)
    {
        ThreadFlags saved = self.Flags & ThreadFlags.NoMemalloc;
        self.Flags |= ThreadFlags.NoMemalloc;
        SplSlab* slab = NewSlab(gfp & ~GfpMask.DirectReclaim, self);
        self.Flags = (self.Flags & ~ThreadFlags.NoMemalloc) | saved;
        return slab;
    }

    /// <summary>A formatted slab that is in no list yet. Null: the mask does not allow sleeping, and it would have to.</summary>
    private SplSlab* NewSlab(GfpMask gfp, Kthread self)
    {
        int page = TakePages(_geometry.Pages, gfp, self, _geometry.Mapped && !_geometry.OffSlab);
        if (page < 0)
        {
            return null;
        }

        Own(page, _geometry.Pages, page);
        SplSlab* slab = SlabAt(page);
        if (JunksNewSlabs)
        {
            Poison.FillFree((byte*)slab, (long)_geometry.Pages << ArenaMapping.PageShift);
        }

        *slab = default;
        slab->Magic = SplSlab.MagicValue;
        slab->Page = page;
        slab->Objects = _geometry.OffSlab ? 0 : _geometry.Objects;
        if (_geometry.OffSlab && !TakeObjectPages(slab, gfp, self))
        {
            return null;
        }

        // From the last to the first, so that the lowest addresses are taken first.
        for (int i = slab->Objects - 1; i >= 0; i--)
        {
            byte* obj = ObjectAt(slab, i);
            SplObject* header = (SplObject*)(obj + _geometry.HeaderAt);
            header->Magic = SplObject.InSlab;
            header->SlabPage = page;
            header->Address = obj;
            header->NextFree = slab->Free;
            slab->Free = header;
        }

        ForEachObject(slab, _constructor);
        return slab;
    }

    /// <summary>The pages of off-slab objects, all or none: a slab that is short of some is freed.</summary>
    private bool TakeObjectPages(SplSlab* slab, GfpMask gfp, Kthread self)
    {
        bool complete = false;
        try
        {
            while (slab->Objects < _geometry.Objects)
            {
                int page = TakePages(_geometry.ObjectPages, gfp, self, _geometry.Mapped);
                if (page < 0)
                {
                    return false;
                }

                Own(page, _geometry.ObjectPages, slab->Page);
                _pages[page].Data = 1;
                if (JunksNewSlabs)
                {
                    Poison.FillFree(System.Mapping.Address(page), (long)_geometry.ObjectPages << ArenaMapping.PageShift);
                }

                ((byte**)((byte*)slab + SplSlab.Bytes))[slab->Objects++] = System.Mapping.Address(page);
            }

            complete = true;
            return true;
        }
        finally
        {
            if (!complete)
            {
                FreeSlab(slab);
            }
        }
    }

    private int TakePages(int pages, GfpMask gfp, Kthread self, bool mapped)
    {
        bool mayMap = (gfp & GfpMask.DirectReclaim) != 0 || _rules.Final;
        if (mapped)
        {
            return mayMap ? System.Vmalloc.Alloc(pages, gfp, self) : PageAllocator.NoMemory;
        }

        int page = System.Pages.Alloc(pages, gfp, self);
        return page == PageAllocator.Fragmented && mayMap ? System.Vmalloc.Alloc(pages, gfp, self) : page;
    }

    private void Own(int page, int pages, int head)
    {
        for (int i = page; i < page + pages; i++)
        {
            ref PageDesc d = ref _pages[i];
            d.Kind = PageKind.Slab;
            d.Owner = Id;
            d.Head = head;
            d.Data = 0;
        }
    }

    private void FreeSlab(SplSlab* slab)
    {
        for (int i = 0; _geometry.OffSlab && i < slab->Objects; i++)
        {
            System.FreePages(System.Mapping.IndexOf(ObjectAt(slab, i)), _geometry.ObjectPages);
        }

        System.FreePages(slab->Page, _geometry.Pages);
    }

    private byte* AddAndTake(SplSlab* slab)
    {
        _lock.Enter();
        AddSlab(slab);
        byte* obj = TakeObject();
        _lock.Exit();
        return obj;
    }

    /// <summary>Links a new slab at the tail: whatever held growth up is over. The lock is held.</summary>
    private void AddSlab(SplSlab* slab)
    {
        _deadlocked = false;
        LinkTail(slab);
        _slabMax = Math.Max(_slabMax, ++_slabTotal);
        _objectTotal += slab->Objects;
        _bytes += BytesOf(slab);
    }

    /// <summary>The preallocated entry of the growth queue.</summary>
    private sealed class Growth(SplEngine engine) : TaskqEntry
    {
        protected internal override void Run() => engine.RunGrowth();
    }

    /// <summary>What a thread waits for that needs a slab: the thread that makes it, once one does.</summary>
    private sealed class GrowthWait(SplEngine engine) : IWaitable
    {
        public string WaitName => $"growth of cache {engine.Name}";

        public void CollectOwners(ICollection<Kthread> owners)
        {
            if (engine._grower is { } grower)
            {
                owners.Add(grower);
            }
        }
    }
}
