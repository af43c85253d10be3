using System.Runtime.CompilerServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// A slab cache (kmem_cache_t): objects of one size. What every allocation and free passes is here: a queue of free objects
/// per virtual CPU (a magazine), entered by try-lock; the one freed last is taken first. An empty queue is filled from, and
/// the oldest half of a full one goes back to, the slabs, which are the engine's (<see cref="SlabEngine"/>).
/// </summary>
public sealed unsafe class KmemCache
{
    private readonly KmemSystem _system;
    private readonly PageDesc[] _pages;
    private readonly SlabEngine _engine;
    private readonly KmemObjectAction? _constructor;
    private readonly KmemObjectAction? _destructor;
    private readonly Magazine[] _magazines;
    private readonly int _magazineSize;
    private readonly bool _poison;
    private readonly bool _hooks;
    private bool _destroyed;

    private KmemCache(KmemSystem system, string name, int size, int align, KmemObjectAction? constructor, KmemObjectAction? destructor, KmemCacheFlags flags)
    {
        Name = name;
        ObjectSize = size;
        _system = system;
        _pages = system.Mapping.Pages;
        _constructor = constructor;
        _destructor = destructor;
        _poison = system.Options.Poison;
        _hooks = _poison || constructor is not null || destructor is not null || system.Torture.Rate > 0 || system.Options.FaultPoints;
        _engine = new SlubqEngine(system, name, size, align, flags);
        _magazineSize = (flags & KmemCacheFlags.NoMagazine) != 0 ? 0 : _engine.QueueSize;
        _magazines = new Magazine[Kthread.CpuCount];
        for (int i = 0; i < _magazines.Length; i++)
        {
            _magazines[i] = new Magazine(_magazineSize);
        }

        Id = _engine.Id = system.Caches.Add(this);
    }

    /// <summary>Name of the cache.</summary>
    public string Name { get; }

    /// <summary>Bytes of one object.</summary>
    public int ObjectSize { get; }

    /// <summary>Are its objects constructed or destructed?</summary>
    internal bool HasConstructor => _constructor is not null || _destructor is not null;

    /// <summary>Number of the cache in its system.</summary>
    internal int Id { get; }

    /// <summary>kmem_cache_create. <paramref name="align"/>: 8 to 4096, a power of two.</summary>
    public static KmemCache Create(string name, int size, int align = 8) => Create(name, size, align, null, null);

    /// <summary>kmem_cache_create with a constructor, run at every allocation, and a destructor, run at every free.</summary>
    /// <param name="name">Name, for statistics.</param>
    /// <param name="size">Bytes of an object, 1 to 4 MiB.</param>
    /// <param name="align">Alignment: 8 to 4096, a power of two.</param>
    /// <param name="constructor">Or null.</param>
    /// <param name="destructor">Or null.</param>
    /// <param name="flags">KMC_* flags.</param>
    public static KmemCache Create(
        string name,
        int size,
        int align,
        KmemObjectAction? constructor,
        KmemObjectAction? destructor,
        KmemCacheFlags flags = KmemCacheFlags.None) =>
        CreateIn(KmemSystem.Current, name, size, align, constructor, destructor, flags);

    /// <summary>kmem_cache_alloc. Null only with <see cref="KmFlags.NoSleep"/>. Contents are undefined.</summary>
    public byte* Alloc(KmFlags flags)
    {
        Gfp.Check(flags);
        Kthread self = Kthread.Current;
        if (self.HeldCount != 0)
        {
            FsReclaim.Touch(flags, _system.Policy, self);
        }

        if (_hooks && (!MayAlloc(flags, self)))
        {
            return null;
        }

        Magazine magazine = _magazines[self.Cpu];
        byte* obj;
        if (Katomic.CompareExchange(ref magazine.Lock, 1, 0) == 0)
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
                obj = _engine.Refill(magazine);
                magazine.Allocs += obj != null ? 1 : 0;
            }

            Katomic.Store(ref magazine.Lock, 0);
        }
        else
        {
            obj = _engine.TryTake();
        }

        if (obj == null)
        {
            ThrowIfDestroyed();
            obj = _engine.Grow(flags, self);
        }

        return _hooks && obj != null ? Prepare(obj) : obj;
    }

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
    public void Free(byte* obj)
    {
        int page = _system.Mapping.IndexOf(obj);
        if (page < 0 || _pages[page].Kind != PageKind.Slab || _pages[page].Owner != Id || _destroyed)
        {
            throw new InvalidOperationException($"address 0x{(ulong)obj:x} is freed to cache {Name}, which it is not from");
        }

        if (_hooks)
        {
            Retire(obj, page);
        }

        Kthread self = Kthread.Current;
        Magazine magazine = _magazines[self.Cpu];
        bool direct = _magazineSize == 0 || (self.Flags & (ThreadFlags.InReclaim | ThreadFlags.Kswapd)) != 0 || _system.Pages.HasWaiters;
        if (direct || Katomic.CompareExchange(ref magazine.Lock, 1, 0) != 0)
        {
            _engine.Put(obj, page);
            return;
        }

        if (magazine.Count == _magazineSize)
        {
            _engine.Flush(magazine, (_magazineSize + 1) / 2);
        }

        magazine.Objects[magazine.Count++] = obj;
        magazine.Frees++;
        Katomic.Store(ref magazine.Lock, 0);
    }

    /// <summary>kmem_cache_reap_now: gives back what is in magazines and empty slabs.</summary>
    public void Reap()
    {
        foreach (Magazine magazine in _magazines)
        {
            if (magazine.Count > 0 && Katomic.CompareExchange(ref magazine.Lock, 1, 0) == 0)
            {
                _engine.Flush(magazine, magazine.Count);
                Katomic.Store(ref magazine.Lock, 0);
            }
        }

        _engine.Shrink();
    }

    /// <summary>kmem_cache_destroy. Fails, naming the count, if objects are live.</summary>
    public void Destroy()
    {
        if (_destroyed)
        {
            throw new InvalidOperationException($"cache {Name} is destroyed twice");
        }

        Reap();
        long live = Statistics().ObjectsAllocated;
        if (live != 0)
        {
            throw new InvalidOperationException($"cache {Name} is destroyed with {live} live objects of {ObjectSize} bytes");
        }

        _destroyed = true;
        _system.Caches.Remove(this);
    }

    /// <summary>The figures of this cache.</summary>
    public KmemCacheStats Statistics()
    {
        SlabEngineStats slabs = _engine.Statistics();
        long cached = 0;
        long allocs = slabs.Allocs;
        long frees = slabs.Frees;
        foreach (Magazine m in _magazines)
        {
            cached += m.Count;
            allocs += m.Allocs;
            frees += m.Frees;
        }

        return new KmemCacheStats
        {
            Name = Name,
            ObjectSize = ObjectSize,
            SlabSize = slabs.SlabSize,
            SlabsTotal = slabs.SlabsTotal,
            SlabsAllocated = slabs.SlabsAllocated,
            SlabsMax = slabs.SlabsMax,
            ObjectsTotal = slabs.ObjectsTotal,
            ObjectsAllocated = slabs.ObjectsOut - cached,
            ObjectsMax = slabs.ObjectsMax,
            ObjectsInMagazines = cached,
            Bytes = slabs.Bytes,
            MagazineSize = _magazineSize,
            Refills = slabs.Refills,
            Failures = slabs.Failures,
            Allocs = allocs,
            Frees = frees,
        };
    }

    internal static KmemCache CreateIn(
        KmemSystem system,
        string name,
        int size,
        int align,
        KmemObjectAction? constructor,
        KmemObjectAction? destructor,
        KmemCacheFlags flags)
    {
        if (size < 1 || size > MemoryNode.MaxPages * ArenaMapping.PageSize)
        {
            throw new ArgumentOutOfRangeException(nameof(size), $"cache {name}: objects of {size} bytes; 1 byte to 4 MiB is possible");
        }

        if (align < 8 || align > ArenaMapping.PageSize || (align & (align - 1)) != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(align), $"cache {name}: alignment {align}; a power of two from 8 to 4096 is possible");
        }

        return new KmemCache(system, name, size, align, constructor, destructor, flags);
    }

    /// <summary>What may happen before an allocation: torture, and a fault that a test has ordered.</summary>
    private bool MayAlloc(KmFlags flags, Kthread self)
    {
        if (_system.Torture.Rate > 0)
        {
            _system.Torture.Point(flags, self);
        }

        return !_system.Options.FaultPoints || !_system.Faults.Hits(flags, self);
    }

    /// <summary>The hooks of an allocation: checks and refills the junk, runs the constructor.</summary>
    private byte* Prepare(byte* obj)
    {
        if (_poison)
        {
            long at = Poison.FirstDifference(obj, ObjectSize);
            if (at >= 0)
            {
                throw new InvalidOperationException($"cache {Name}: object 0x{(ulong)obj:x} was written at offset {at} after it was freed");
            }

            Poison.FillUninit(obj, ObjectSize);
        }

        _constructor?.Invoke(obj);
        return obj;
    }

    /// <summary>The hooks of a free: finds a second free of the same object, runs the destructor, fills with junk.</summary>
    private void Retire(byte* obj, int page)
    {
        if (!_engine.IsObject(obj, page))
        {
            throw new InvalidOperationException($"cache {Name}: 0x{(ulong)obj:x} is not the start of an object");
        }

        if (_poison && ObjectSize >= sizeof(uint) && Poison.IsFree(obj, ObjectSize))
        {
            throw new InvalidOperationException($"cache {Name}: object 0x{(ulong)obj:x} is freed twice");
        }

        _destructor?.Invoke(obj);
        if (_poison)
        {
            Poison.FillFree(obj, ObjectSize);
        }
    }

    private void ThrowIfDestroyed()
    {
        if (_destroyed || !ReferenceEquals(_system, KmemSystem.CurrentOrNull))
        {
            throw new InvalidOperationException($"cache {Name} is destroyed, or its kmem has been shut down");
        }
    }
}
