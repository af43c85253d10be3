using System.Globalization;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <content>What the model compares.</content>
internal sealed unsafe partial class SlabModel
{
    private const ulong Constructed = 0x004488CC_004488CC;
    private const int StampBytes = 256;
    private const long QuietNs = 20_000_000;

    private SlabRight _growthRight;

    /// <summary>How far down an allocation may go, by the table in <see cref="Gfp"/> and the ladder in <see cref="KmemSystem"/>.</summary>
    private SlabRight RightOf(KmFlags flags, ThreadFlags marks)
    {
        if ((marks & ThreadFlags.Memalloc) != 0)
        {
            return SlabRight.All;
        }

        bool isToday = _plan.Policy == KmemPolicy.Fstrans;
        bool high = (flags & KmFlags.PushPage) != 0
            || (!isToday && (flags & KmFlags.NoSleep) != 0)
            || (_plan.Policy == KmemPolicy.TxCookie && (marks & ThreadFlags.Fstrans) != 0);
        return !high ? SlabRight.Ordinary : isToday && (marks & ThreadFlags.SyncPath) != 0 ? SlabRight.Sync : SlabRight.High;
    }

    /// <summary>The hook of a node, in the thread that takes pages from below min, under the node's lock.</summary>
    private void OnBelowMin(MemoryNode node, int page, int left)
    {
        Counts[SlabCount.BelowMin]++;
        Kthread self = Kthread.Current;
        SlabRight right = (self.Flags & (ThreadFlags.InReclaim | ThreadFlags.Kswapd)) != 0 ? SlabRight.All
            : self.FsState is SlabActor actor ? (self.Flags & ThreadFlags.NoMemalloc) != 0 ? actor.LesserRight : actor.Right
            : self.Name.StartsWith("spl_kmem_cache", StringComparison.Ordinal) ? _growthRight
            : SlabRight.Ordinary;
        if (right == SlabRight.All && self.FsState is SlabActor { IsAllocating: true } lender)
        {
            lender.Lent = (page, node, node.FreedPages);
        }

        // In the old policies KM_NOSLEEP, with which queues get their arrays, is high.
        if (right == SlabRight.Ordinary && _plan.Policy != KmemPolicy.Fstrans)
        {
            right = SlabRight.High;
        }

        int min = node.Marks.Min;
        int mark = right switch
        {
            SlabRight.Ordinary => min,
            SlabRight.High => min - (min / 2),
            SlabRight.Sync => min / 8,
            _ => 0,
        };
        if (left < mark)
        {
            Violation ??= $"{self} (marks {self.Flags}, right {right}) leaves {left} pages free: min is {min}, its mark {mark}";
            throw new SlabModelException(Violation);
        }
    }

    /// <summary>Looks at the others: is anybody waiting who must not?</summary>
    private void SawWaits()
    {
        foreach (SlabActor actor in _actors)
        {
            if (actor.MustNotWait && actor.Thread?.WaitingFor is { } what and not Kmutex)
            {
                Require(false, $"KM_NOSLEEP waits in {actor.Thread} for {what.WaitName}");
            }
        }
    }

    private void Construct(SlabSlot slot, byte* obj)
    {
        slot.Constructed++;
        *(ulong*)obj = Constructed;
    }

    private void Destruct(SlabSlot slot, byte* obj)
    {
        slot.Destructed++;
        Require(*(ulong*)obj == Constructed, "a destructor meets an object that isn't constructed");
    }

    /// <summary>Marks every 256 bytes, and the last 8, as this object's.</summary>
    private static void Stamp(SlabSlot slot, byte* obj)
    {
        for (int at = 0; at < slot.Spec.Size; at += StampBytes)
        {
            *(nint*)(obj + Math.Min(at, slot.Spec.Size - 8)) = StampOf(slot, obj, at);
        }

        *(nint*)(obj + ((slot.Spec.Size - 8) & ~7)) = StampOf(slot, obj, -1);
    }

    private static void CheckStamp(SlabSlot slot, byte* obj)
    {
        int last = (slot.Spec.Size - 8) & ~7;
        for (int at = 0; at < slot.Spec.Size; at += StampBytes)
        {
            int where = Math.Min(at, slot.Spec.Size - 8);
            Require(
                where == last || *(nint*)(obj + where) == StampOf(slot, obj, at),
                $"object 0x{(nint)obj:x} of cache {slot.Spec.Name} was overwritten at offset {where}");
        }

        Require(*(nint*)(obj + last) == StampOf(slot, obj, -1), $"object 0x{(nint)obj:x} of cache {slot.Spec.Name} was overwritten at its end");
        if (slot.HasHooks)
        {
            *(ulong*)obj = Constructed;
        }
    }

    private static nint StampOf(SlabSlot slot, byte* obj, int at) => (nint)obj ^ (slot.Number * 0x10001) ^ ((nint)at << 40);

    /// <summary>Waits until kswapd, growth workers and agers have nothing left to do.</summary>
    private void AwaitQuiet()
    {
        bool quiet = false;
        for (int i = 0; !quiet; i++)
        {
            Require(i < 100_000, "growth workers or kswapd never come to rest");
            Kthread.Sleep(QuietNs);
            Kthread self = Kthread.Current;
            quiet = !_system.Kswapd.IsAwake
                && Array.TrueForAll(Kthread.All(), t => ReferenceEquals(t, self) || t.WaitingFor is { IsIdle: true })
                && !_slots.Exists(static s => s.Cache.Spl is { } spl && (spl.IsGrowing || spl.IsReaping));
        }
    }

    /// <summary>Nobody else is at work: all books must agree.</summary>
    private void CheckBooks()
    {
        foreach (SlabSlot slot in _slots)
        {
            KmemCacheStats stats = slot.Cache.Statistics();
            long live = _live.Values.LongCount(s => s == slot);
            (long, long, long, long) counted = (stats.Allocs, stats.Frees, stats.ObjectsAllocated, stats.Failures);
            (long, long, long, long) expected = (slot.Allocs, slot.Frees, live, slot.Failures);
            Require(counted == expected, $"cache {slot.Spec.Name} counts {counted}, the model {expected} (allocated, freed, live, failed)");
            Require(slot.Constructed - slot.Destructed == (slot.HasHooks ? live : 0), $"cache {slot.Spec.Name}: {slot.Constructed} constructed, {slot.Destructed} destructed, {live} live");
            CheckEngine(slot.Cache.Engine);
        }
    }

    private void CheckEngine(SlabEngine engine)
    {
        SlabEngineStats stats = engine.Statistics();
        long queued = 0;
        foreach (KmemCache cache in engine.Caches)
        {
            foreach (Magazine magazine in cache.Magazines)
            {
                Require(magazine.Count >= 0 && magazine.Count <= magazine.Capacity, $"a queue of {cache.Name} holds {magazine.Count} of {magazine.Capacity}");
                queued += magazine.Count;
            }
        }

        long live = _live.Values.LongCount(s => ReferenceEquals(s.Cache.Engine, engine));
        Require(stats.ObjectsOut == live + queued, $"{engine.Name}: {stats.ObjectsOut} objects are out of the slabs, {live} with callers, {queued} in queues");
        Require(
            stats.ObjectsOut + stats.Queued <= stats.ObjectsTotal && stats.SlabsAllocated <= stats.SlabsTotal && stats.SlabsTotal <= stats.SlabsMax,
            $"{engine.Name}: impossible figures: {stats}");
        long emergency = 0;
        long bytes = 0;
        PageDesc[] pages = _system.Mapping.Pages;
        for (int page = 0; page < pages.Length; page++)
        {
            if (page == _system.Mapping.ArenaPages)
            {
                page = _system.Mapping.WindowStart;
            }

            ref PageDesc d = ref pages[page];
            if ((d.Owner & SlabEngine.IdMask) == engine.Id && d.Kind is PageKind.Slab or PageKind.Emergency)
            {
                bytes += d.Kind == PageKind.Emergency ? (long)d.Pages << ArenaMapping.PageShift : ArenaMapping.PageSize;
                emergency += d.Kind == PageKind.Emergency ? 1 : 0;
            }
        }

        Require(stats.Emergency == emergency && emergency <= stats.EmergencyMax, $"{engine.Name}: {emergency} emergency objects, counted as {stats.Emergency} (most: {stats.EmergencyMax})");
        Require(stats.Bytes == bytes, $"{engine.Name}: {bytes} bytes of slabs, counted as {stats.Bytes}");
    }

    /// <summary>Queues behind those of the CPUs keep their arrays as long as the engine lives: a kmalloc cache may share it.</summary>
    private int ArraysInUse()
    {
        var engines = new HashSet<SlabEngine>();
        _ = _system.Caches.TryForEach(c => engines.Add(c.Engine));
        return engines.OfType<SlubqEngine>().Sum(static e => e.Nodes.ToArray().Sum(static n => (n.Shared.HasArray ? 1 : 0) + n.Aliens.Count(static a => a.HasArray)));
    }

    /// <summary>A cache with live objects refuses to be destroyed, names some, and goes on.</summary>
    private void RefuseDestroy()
    {
        SlabSlot slot = _slots[0];
        int live = _live.Values.Count(s => s == slot);
        if (live == 0)
        {
            return;
        }

        string? refusal = null;
        try
        {
            slot.Cache.Destroy();
        }
        catch (InvalidOperationException e)
        {
            refusal = e.Message;
        }

        Require(refusal is not null && refusal.Contains($"{live} live objects", StringComparison.Ordinal), $"a cache with {live} live objects is destroyed: {refusal}");
        string[] named = [.. refusal!.Split(" 0x").Skip(1).Select(static part => string.Concat(part.TakeWhile(char.IsAsciiHexDigit)))];
        bool isSpl = slot.Cache.Spl is not null;
        bool own = isSpl && slot.Cache.Engine.Caches.Count == 1;
        Require(!own || named.Length == Math.Min(live, 8), $"{live} live objects, {named.Length} named: {refusal}");
        Require(
            !own || Array.TrueForAll(named, n => _live.ContainsKey(nint.Parse(n, NumberStyles.HexNumber, CultureInfo.InvariantCulture))),
            $"an address is named that isn't live: {refusal}");
        Counts[SlabCount.DestroysRefused]++;
    }

    private void CheckNothingLeft()
    {
        foreach (SlabEngine engine in _ended)
        {
            SlabEngineStats left = engine.Statistics();
            Require(
                left is { SlabsTotal: 0, SlabsAllocated: 0, ObjectsTotal: 0, ObjectsOut: 0, Bytes: 0, Queued: 0, Emergency: 0 },
                $"cache {engine.Name} is destroyed and still has {left}");
        }

        Require(_system.DescribeLeaks() is null, $"lost: {_system.DescribeLeaks()}");
        long arrays = _system.Caches.Statistics().Where(c => _system.QueueMemory.IsOwn(c.Name)).Sum(static c => c.ObjectsAllocated);
        Require(arrays == ArraysInUse(), $"{arrays} arrays of queues are out, {ArraysInUse()} in use");
        Require(_system.Vmalloc.Mappings == 0 && _system.Vmalloc.UsedPages == 0, $"{_system.Vmalloc.Mappings} mappings are lost");
        Require(_system.LargeBytes == 0, "large allocations are lost");
        Require(!_system.Pages.HasWaiters, "somebody is counted as waiting for memory");
    }
}
