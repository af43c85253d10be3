using System.Runtime.CompilerServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// A slab cache (kmem_cache_t): objects of one size. An allocation pops the magazine of its virtual CPU; an empty magazine is
/// refilled from partial slabs, fuller ones first; without any the cache grows by a slab, in the caller's thread and with the
/// caller's mask. A free pushes; a full magazine gives its oldest half back to the slabs. An empty slab goes back to the page
/// allocator at once, but for one. What a slab needs to be known by lies in the page descriptors, not in its pages: objects
/// of a power of two are naturally aligned and cost nothing extra.
/// </summary>
public sealed unsafe partial class KmemCache
{
    private readonly KmemSystem _system;
    private readonly PageDesc[] _pages;
    private readonly SlabGeometry _geometry;
    private readonly KmemCacheFlags _flags;
    private readonly KmemObjectAction? _constructor;
    private readonly KmemObjectAction? _destructor;
    private readonly Magazine[] _magazines;
    private readonly int _magazineSize;
    private readonly int _refill;
    private readonly bool _poison;
    private readonly bool _hooks;
    private readonly Kmutex _lock;
    private int _partialHead = -1;
    private int _partialTail = -1;
    private int _emptySlabs;
    private long _slabTotal;
    private long _slabMax;
    private long _slabAlloc;
    private long _objectTotal;
    private long _objectInUse;
    private long _objectMax;
    private long _bytes;
    private long _refills;
    private long _failures;
    private long _slabAllocs;
    private long _slabFrees;
    private bool _destroyed;

    private KmemCache(KmemSystem system, string name, int size, int align, KmemObjectAction? constructor, KmemObjectAction? destructor, KmemCacheFlags flags)
    {
        Name = name;
        ObjectSize = size;
        _system = system;
        _pages = system.Mapping.Pages;
        _geometry = new SlabGeometry(size, align);
        _flags = flags;
        _constructor = constructor;
        _destructor = destructor;
        _poison = system.Options.Poison;
        _hooks = _poison || constructor is not null || destructor is not null || system.Torture.Rate > 0;
        _lock = new Kmutex("kmem_cache");
        _magazineSize = (flags & KmemCacheFlags.NoMagazine) != 0 ? 0 : _geometry.MagazineSize(system.ArenaBytes, Kthread.CpuCount);
        _refill = (_magazineSize + 1) / 2;
        _magazines = new Magazine[Kthread.CpuCount];
        for (int i = 0; i < _magazines.Length; i++)
        {
            _magazines[i] = new Magazine(_magazineSize);
        }

        Id = system.Caches.Add(this);
    }

    /// <summary>Name of the cache.</summary>
    public string Name { get; }

    /// <summary>Bytes of one object.</summary>
    public int ObjectSize { get; }

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

        if (_hooks && _system.Torture.Rate > 0)
        {
            _system.Torture.Point(flags, self);
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
                obj = Refill(magazine);
                magazine.Allocs += obj != null ? 1 : 0;
            }

            Katomic.Store(ref magazine.Lock, 0);
        }
        else
        {
            obj = FromSlab();
        }

        if (obj == null)
        {
            obj = Grow(flags, self);
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
            ToSlab(obj, page);
            return;
        }

        if (magazine.Count == _magazineSize)
        {
            Flush(magazine, _refill);
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
                Flush(magazine, magazine.Count);
                Katomic.Store(ref magazine.Lock, 0);
            }
        }

        FreeEmptySlabs(0);
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
        _lock.Enter();
        long cached = 0;
        long allocs = _slabAllocs;
        long frees = _slabFrees;
        foreach (Magazine m in _magazines)
        {
            cached += m.Count;
            allocs += m.Allocs;
            frees += m.Frees;
        }

        var stats = new KmemCacheStats
        {
            Name = Name,
            ObjectSize = ObjectSize,
            SlabSize = _geometry.Pages << ArenaMapping.PageShift,
            SlabsTotal = _slabTotal,
            SlabsAllocated = _slabAlloc,
            SlabsMax = _slabMax,
            ObjectsTotal = _objectTotal,
            ObjectsAllocated = _objectInUse - cached,
            ObjectsMax = _objectMax,
            ObjectsInMagazines = cached,
            Bytes = _bytes,
            MagazineSize = _magazineSize,
            Refills = _refills,
            Failures = _failures,
            Allocs = allocs,
            Frees = frees,
        };
        _lock.Exit();
        return stats;
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
}
