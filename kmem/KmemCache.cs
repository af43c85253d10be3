using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// A slab cache (kmem_cache_t): objects of one size. What every allocation and free passes is here: a queue of free objects
/// per virtual CPU (<see cref="Magazine"/>); the one freed last is taken first. An empty queue is filled from, and
/// the oldest part of a full one goes back to, what is behind it, which is the engine's (<see cref="SlabEngine"/>).
/// <para>
/// The hit. A queue that leans towards the calling thread is entered without an atomic; whose object is freed is one comparison
/// (<see cref="PageDesc.Owner"/> says cache, node and tag at once). Everything that is rare is made to fail one of the two tests
/// there, and is looked at behind: caches with hooks and queues that several threads use never lean; objects of another
/// node's slabs, of slabs tagged as reserve, and of other caches have another owner; a queue out of memory or of a cache destroyed
/// is empty and holds nothing.
/// </para>
/// </summary>
public sealed unsafe partial class KmemCache
{
    private const ThreadFlags BypassesQueues = ThreadFlags.InReclaim | ThreadFlags.Kswapd;
    /// <summary>Largest object. What is larger than the largest block of pages is mapped together from several.</summary>
    internal const int MaxObjectBytes = 16 << 20;

    private const KmFlags PublicFlags = KmFlags.NoSleep | KmFlags.PushPage;

    private readonly KmemSystem _system;
    private readonly PageAllocator _pageAllocator;
    private readonly PageDesc[] _pages;
    private readonly byte* _base;
    private readonly SlabEngine _engine;
    private readonly SplEngine? _spl;
    private readonly KmemObjectAction? _constructor;
    private readonly KmemObjectAction? _destructor;
    private readonly Magazine[] _magazines;
    private readonly SlabDebug? _debug;
    private readonly bool _hooks;
    private long _slowAllocs;
    private long _slowFrees;
    private long _failures;
    private int _destroyed;

    /// <summary>Made by <see cref="CacheRegistry"/>, under its lock.</summary>
    internal KmemCache(
        KmemSystem system,
        SlabEngine engine,
        string name,
        int size,
        int align,
        KmemObjectAction? constructor,
        KmemObjectAction? destructor,
        Action? reclaim,
        SlabDebug? debug)
    {
        Name = name;
        ObjectSize = size;
        Align = align;
        _system = system;
        _pageAllocator = system.Pages;
        _pages = system.Mapping.Pages;
        _base = system.Mapping.Base;
        _engine = engine;
        _spl = engine as SplEngine;
        ReclaimCallback = reclaim;
        HasConstructor = constructor is not null || destructor is not null || reclaim is not null;
        _constructor = _spl is { SlabLife: true } ? null : constructor;
        _destructor = _spl is { SlabLife: true } ? null : destructor;
        _debug = debug;
        _hooks = debug is not null || _constructor is not null || _destructor is not null || system.Torture.Rate > 0 || system.Options.FaultPoints;
        _queueSize = (engine.Flags & KmemCacheFlags.NoMagazine) != 0 ? 0 : engine.QueueSize;
        _batch = (_queueSize + 1) / 2;
        _magazines = new Magazine[Kthread.CpuCount];
        for (int i = 0; i < _magazines.Length; i++)
        {
            int node = system.Pages.NodeOfCpu(i);
            _magazines[i] = new Magazine(node, engine.QueueOwner(node)) { Plain = _hooks, Batch = _batch };
        }
    }

    /// <summary>Name of the cache.</summary>
    public string Name { get; }

    /// <summary>Bytes of one object.</summary>
    public int ObjectSize { get; }

    /// <summary>What the addresses of objects are a multiple of.</summary>
    public int Align { get; }

    /// <summary>Are its objects constructed or destructed, or is there a callback for reclaim?</summary>
    internal bool HasConstructor { get; }

    /// <summary>What is behind it, shared with other caches perhaps.</summary>
    internal SlabEngine Engine => _engine;

    /// <summary>kmem_cache_create. <paramref name="align"/>: 8 to 4096, a power of two.</summary>
    public static KmemCache Create(string name, int size, int align = 8) => Create(name, size, align, null, null);

    /// <summary>kmem_cache_create with a constructor, run at every allocation, and a destructor, run at every free.</summary>
    /// <param name="name">Name, for statistics. One that is taken can be had again only for an equal cache.</param>
    /// <param name="size">Bytes of an object, 1 to 16 MiB; in contiguous pages (KMC_KMEM) 4 MiB at most.</param>
    /// <param name="align">Alignment: 8 to 4096, a power of two.</param>
    /// <param name="constructor">Or null.</param>
    /// <param name="destructor">Or null.</param>
    /// <param name="flags">KMC_* flags.</param>
    /// <param name="reclaim">Asked, when memory is short, to free objects of this cache; or null. It must not wait for memory.</param>
    /// <exception cref="InvalidOperationException">The name is taken by a cache of another kind.</exception>
    public static KmemCache Create(
        string name,
        int size,
        int align,
        KmemObjectAction? constructor,
        KmemObjectAction? destructor,
        KmemCacheFlags flags = KmemCacheFlags.None,
        Action? reclaim = null) =>
        CreateIn(KmemSystem.Current, name, size, align, constructor, destructor, flags, reclaim);

    /// <summary>kmem_cache_alloc. Null only with <see cref="KmFlags.NoSleep"/>. Contents are undefined.</summary>
    public byte* Alloc(KmFlags flags) => Alloc(flags, Kthread.Current);

    /// <summary>As Alloc, zero-filled.</summary>
    public byte* Zalloc(KmFlags flags)
    {
        byte* obj = Alloc(flags);
        if (obj != null)
        {
            Unsafe.InitBlock(obj, 0, (uint)ObjectSize);
        }

        return obj;
    }

    /// <summary>kmem_cache_free.</summary>
    public void Free(byte* obj) => Free(obj, Kthread.Current);

    /// <summary>kmem_cache_destroy. Fails, naming the count and, if the engine knows them, the first addresses, if objects are live.</summary>
    public void Destroy()
    {
        _tuning.Enter();
        try
        {
            if (Katomic.Exchange(ref _destroyed, 1) != 0)
            {
                throw new InvalidOperationException($"cache {Name} is destroyed twice");
            }

            Drain();
            long live = Statistics().ObjectsAllocated;
            if (live != 0)
            {
                Katomic.Store(ref _destroyed, 0);
                throw new InvalidOperationException($"cache {Name} is destroyed with {live} live objects of {ObjectSize} bytes{DescribeLive()}");
            }

            StopReaping();
            SlabEngine? last = _system.Caches.Remove(this);
            DropQueues();
            last?.Close();
        }
        finally
        {
            _tuning.Exit();
        }
    }

    /// <summary>The figures of this cache.</summary>
    public KmemCacheStats Statistics() => _system.Caches.Statistics(this);

    /// <summary>The figures. The lock of the registry is held. Slabs are shown with the first of the caches that share them.</summary>
    internal KmemCacheStats StatisticsLocked()
    {
        SlabEngineStats slabs = _engine.Statistics();
        bool first = _engine.Caches.Count == 0 || ReferenceEquals(_engine.Caches[0], this);
        var stats = new KmemCacheStats
        {
            Name = Name,
            ObjectSize = ObjectSize,
            SlabSize = slabs.SlabSize,
            MagazineSize = _queueSize,
            Failures = Katomic.Load(ref _failures),
            SharesSlabsOf = first ? null : _engine.Caches[0].Name,
            Aliases = first ? [.. _engine.Caches.Skip(1).Select(static c => c.Name)] : [],
            Engine = _spl is null ? SlabEngineKind.Slubq : SlabEngineKind.Spl,
            Flags = ShownFlags,
        };
        stats = WithQueues(stats);
        return !first
            ? stats
            : stats with
            {
                SlabsTotal = slabs.SlabsTotal,
                SlabsAllocated = slabs.SlabsAllocated,
                SlabsMax = slabs.SlabsMax,
                ObjectsTotal = slabs.ObjectsTotal,
                ObjectsMax = slabs.ObjectsMax,
                ObjectsInMagazines = stats.ObjectsInMagazines + slabs.Queued,
                Bytes = slabs.Bytes,
                Emergency = slabs.Emergency,
                EmergencyMax = slabs.EmergencyMax,
                GrowthDeadlocks = slabs.GrowthDeadlocks,
            };
    }

    internal static KmemCache CreateIn(
        KmemSystem system,
        string name,
        int size,
        int align,
        KmemObjectAction? constructor,
        KmemObjectAction? destructor,
        KmemCacheFlags flags,
        Action? reclaim = null)
    {
        int max = (flags & KmemCacheFlags.Kmem) != 0 ? MemoryNode.MaxPages * ArenaMapping.PageSize : MaxObjectBytes;
        if (size < 1 || size > max)
        {
            throw new ArgumentOutOfRangeException(nameof(size), $"cache {name}: objects of {size} bytes; 1 byte to {max >> 20} MiB is possible");
        }

        if (align < 8 || align > ArenaMapping.PageSize || (align & (align - 1)) != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(align), $"cache {name}: alignment {align}; a power of two from 8 to 4096 is possible");
        }

        CheckFlags(name, flags);
        KmemCache cache = system.Caches.Create(name, size, align, constructor, destructor, flags, reclaim);
        cache.StartReaping();
        return cache;
    }

    /// <summary>As the public one. Inlined: a call costs a third of what a hit does.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal byte* Alloc(KmFlags flags, Kthread self)
    {
        if (((int)(flags & ~PublicFlags) | self.HeldCount) != 0)
        {
            CheckAlloc(flags, self);
        }

        Magazine magazine = MagazineOf(self);
        Katomic.Store(ref self.InQueue, 1);
        if (ReferenceEquals(Katomic.Load(ref magazine.Owner), self))
        {
            int count = magazine.Count - 1;
            if (count >= 0)
            {
                byte* obj = magazine.Objects[count];
                Katomic.Interleave();
                magazine.Count = count;
                magazine.Allocs++;
                Katomic.Store(ref self.InQueue, 0);
                return obj;
            }
        }

        Katomic.Store(ref self.InQueue, 0);
        return AllocSlow(flags, self, magazine);
    }

    /// <summary>As the public one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Free(byte* obj, Kthread self)
    {
        Magazine magazine = MagazineOf(self);
        PageDesc[] pages = _pages;
        ulong page = (ulong)(obj - _base) >> ArenaMapping.PageShift;
        if (page < (ulong)pages.Length
            && Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(pages), (nint)page).Owner == magazine.PageOwner
            && (self.Flags & BypassesQueues) == 0
            && !_pageAllocator.HasWaiters)
        {
            Katomic.Store(ref self.InQueue, 1);
            if (ReferenceEquals(Katomic.Load(ref magazine.Owner), self))
            {
                int count = magazine.Count;
                if (count < magazine.Capacity)
                {
                    magazine.Objects[count] = obj;
                    Katomic.Interleave();
                    magazine.Count = count + 1;
                    magazine.Frees++;
                    Katomic.Store(ref self.InQueue, 0);
                    return;
                }
            }

            Katomic.Store(ref self.InQueue, 0);
        }

        FreeSlow(obj, self, magazine);
    }

    /// <summary>The queue of the thread's virtual CPU. There is one for each.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Magazine MagazineOf(Kthread self) => Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_magazines), self.Cpu);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void CheckAlloc(KmFlags flags, Kthread self)
    {
        Gfp.Check(flags);
        FsReclaim.Touch(flags, _system.Policy, self);
    }

    /// <summary>An allocation that did not hit: the queue under its lock, what is behind it, a new slab.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private byte* AllocSlow(KmFlags flags, Kthread self, Magazine magazine)
    {
        if (_hooks && !MayAlloc(flags, self))
        {
            Katomic.Increment(ref _failures);
            return null;
        }

        byte* obj;
        if (magazine.TryEnter(self, contends: true))
        {
            int count = magazine.Count;
            if (count > 0)
            {
                obj = magazine.Objects[count - 1];
                magazine.Count = count - 1;
                magazine.Allocs++;
            }
            else
            {
                obj = Refill(magazine);
            }

            magazine.Exit(self);
        }
        else
        {
            obj = _engine.TryTake();
            if (obj != null)
            {
                Katomic.Increment(ref _slowAllocs);
            }
        }

        if (obj == null)
        {
            ThrowIfDestroyed();
            obj = _engine.Grow(flags, self);
            Katomic.Increment(ref obj != null ? ref _slowAllocs : ref _failures);
        }

        return _hooks && obj != null ? Prepare(obj, self) : obj;
    }

    /// <summary>A free that did not hit: whose object is it, and where does it go?</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FreeSlow(byte* obj, Kthread self, Magazine magazine)
    {
        byte* asked = obj;
        obj -= _debug?.Left ?? 0;
        int page = _system.Mapping.IndexOf(obj);
        int owner = page < 0 ? 0 : _pages[page].Owner;
        if ((owner & SlabEngine.IdMask) != _engine.Id || _destroyed != 0)
        {
            throw new InvalidOperationException($"address 0x{(ulong)asked:x} is freed to cache {Name}, which it is not from");
        }

        if (_hooks)
        {
            Retire(obj, page, self);
        }

        bool queued = owner == magazine.PageOwner && _queueSize != 0 && (self.Flags & BypassesQueues) == 0 && !_pageAllocator.HasWaiters;
        if (queued && magazine.TryEnter(self, contends: true))
        {
            queued = magazine.Count < magazine.Capacity || MakeRoom(magazine);
            if (queued)
            {
                magazine.Objects[magazine.Count++] = obj;
                magazine.Frees++;
            }

            magazine.Exit(self);
            if (queued)
            {
                return;
            }
        }

        _engine.Put(obj, page);
        Katomic.Increment(ref _slowFrees);
    }

    /// <summary>What may happen before an allocation: torture, and a fault that a test has ordered.</summary>
    private bool MayAlloc(KmFlags flags, Kthread self)
    {
        if (_system.Torture.Rate > 0)
        {
            _system.Torture.Point(flags, self);
        }

        if (_debug is { FailsByOrder: true } && _system.Failslab.Hits(flags, ObjectSize, self))
        {
            return false;
        }

        return !_system.Options.FaultPoints || !_system.Faults.Hits(flags, self);
    }

    /// <summary>The hooks of an allocation: debugging, then the constructor.</summary>
    private byte* Prepare(byte* obj, Kthread self)
    {
        if (_debug is not null)
        {
            _debug.Allocated(obj, self);
            obj += _debug.Left;
        }

        _constructor?.Invoke(obj);
        return obj;
    }

    /// <summary>The hooks of a free: is it an object, and taken? Then the destructor, and the fill with junk.</summary>
    private void Retire(byte* obj, int page, Kthread self)
    {
        int left = _debug?.Left ?? 0;
        if (!_engine.IsObject(obj, page))
        {
            throw new InvalidOperationException($"cache {Name}: 0x{(ulong)(obj + left):x} is not the start of an object");
        }

        _debug?.Freed(obj, self);
        _destructor?.Invoke(obj + left);
        _debug?.Junk(obj);
    }

    private void ThrowIfDestroyed()
    {
        if (_destroyed != 0 || !ReferenceEquals(_system, KmemSystem.CurrentOrNull))
        {
            throw new InvalidOperationException($"cache {Name} is destroyed, or its kmem has been shut down");
        }
    }
}
