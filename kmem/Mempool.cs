using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// A memory pool (mempool_t): an allocator with a reserve of elements that are set aside, so that whoever needs one to get on, and gives it back
/// when he has got on, never fails for want of memory.
/// <para>
/// Attempts, in this order: (1) the allocator below, without waiting, without reclaim, without what reclaimers have; (2) an element
/// of the reserve; (3) the allocator again, after one round of reclaim with the caller's full rights; (4) a caller that must not wait gets null; (5)
/// others wait until an element comes back, 5 s at most, and begin again. So the reserve goes <em>before</em> anything is reclaimed, and
/// a pool is used up soon, not late: how many elements it has decides how far one gets, and that anybody gives them back decides
/// whether one gets on at all. An element that is freed goes into the reserve while that has fewer than it should, whether
/// it came from there or not, and wakes those who wait. Contents of an element are undefined; nothing is zeroed.
/// </para>
/// <para>
/// What may go wrong is the order of taking: one thread holds an element of A and waits for B, another the reverse; or two
/// threads want two each of a pool that has two. So a thread takes everything that a step needs in one call, <see cref="TakeAll"/>, which holds
/// nothing while it waits; and whoever holds an element and asks, ready to wait, for another one is found out at once, with no shortage
/// needed: it is counted and reported, and throws if <see cref="KmemOptions.StrictMempools"/>. A pool may name others that are allowed
/// to be held while it is taken from (<c>under</c>): those that its own users never need in order to give an element back. As only pools made
/// earlier can be named, no two can name each other. <c>IncrementalMempool</c> does it without asking, for the laboratory.
/// </para>
/// <para>
/// Who has an element? By default the thread that took it, and that thread frees it. <see cref="Disown"/>: it travels on with a request, and
/// any thread may free it. <see cref="Draw"/>: it becomes an ordinary object of the allocator below, for good; such a pool lives on
/// what <see cref="TryDonate"/> is offered, objects of the same kind that somebody gives up.
/// </para>
/// </summary>
public sealed unsafe partial class Mempool
{
    /// <summary>The longest single wait for an element, nanoseconds.</summary>
    public const long WaitMaxNs = 5_000_000_000;

    private readonly KmemSystem _system;
    private readonly MempoolSource _source;
    private readonly Mempool[] _under;
    private readonly MempoolWait _wait;
    private readonly Kcondvar _refilled;
    private nint[] _reserve = [];
    private int _count;
    private int _low;
    private int _missing;
    private long _allocs;
    private long _frees;
    private long _disowned;
    private long _fromReserve;
    private long _fromRetry;
    private long _refills;
    private long _refused;
    private long _waits;
    private long _waitNs;
    private long _violations;
    private int _fruitless;
    private bool _destroyed;

    private Mempool(string name, MempoolSource source, int min, IWaitable? users, ReadOnlySpan<Mempool> under)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(min, 1);
        Name = name;
        _system = KmemSystem.Current;
        _source = source;
        _under = under.ToArray();
        _wait = new MempoolWait(this, users);
        _refilled = new Kcondvar("mempool");
        Resize(min);
        _system.Mempools.Add(this);
    }

    /// <summary>Name, for statistics.</summary>
    public string Name { get; }

    /// <summary>Bytes of an element.</summary>
    public long ElementBytes => _source.ElementBytes;

    /// <summary>Elements that the reserve is to have.</summary>
    public int MinElements => _reserve.Length;

    /// <summary>Elements in the reserve now, a guess.</summary>
    public int InReserve => Katomic.Load(ref _count);

    /// <summary>Half of the reserve, or more, is gone: time to give elements back before one takes more. A guess.</summary>
    public bool IsLow => InReserve * 2 <= MinElements && MinElements > 1;

    internal long OutCount => Katomic.Load(ref _allocs) - Katomic.Load(ref _frees);

    /// <summary>Waits that have timed out since an element last came back: the allocator below had nothing either.</summary>
    internal int FruitlessWaits => Katomic.Load(ref _fruitless);

    internal long DisownedCount => Katomic.Load(ref _disowned);

    /// <summary>A pool over a slab cache without constructor and destructor. Fills the reserve; may sleep.</summary>
    /// <param name="name">Name.</param>
    /// <param name="cache">The cache; it must outlive the pool.</param>
    /// <param name="min">Elements of the reserve, at least 1.</param>
    /// <param name="users">Names the threads that free disowned elements; null if there are none.</param>
    /// <param name="under">Pools whose elements may be held while this one is taken from.</param>
    public static Mempool OfCache(string name, KmemCache cache, int min, IWaitable? users = null, params ReadOnlySpan<Mempool> under)
    {
        ArgumentNullException.ThrowIfNull(cache);
        if (cache.HasConstructor)
        {
            throw new ArgumentException($"memory pool {name}: objects of cache {cache.Name} are constructed, elements of a pool are not", nameof(cache));
        }

        return new Mempool(name, new MempoolSource.OfCache(cache), min, users, under);
    }

    /// <summary>A pool of vmem_alloc of one size, in bytes.</summary>
    public static Mempool OfSize(string name, long bytes, int min, IWaitable? users = null, params ReadOnlySpan<Mempool> under) =>
        new(name, new MempoolSource.OfSize(bytes), min, users, under);

    /// <summary>A pool of so many contiguous pages each.</summary>
    public static Mempool OfPages(string name, int pages, int min, IWaitable? users = null, params ReadOnlySpan<Mempool> under) =>
        new(name, new MempoolSource.OfPages(pages), min, users, under);

    /// <summary>mempool_alloc. Null only with <see cref="KmFlags.NoSleep"/>. The element is the calling thread's.</summary>
    public byte* Alloc(KmFlags flags)
    {
        Kthread self = Enter(flags);
        RequireNothingHeld(flags, self);
        return Record(Get(flags, self), self);
    }

    /// <summary>mempool_free, by the thread that took the element, or by any if it was disowned.</summary>
    public void Free(byte* element)
    {
        if (!MempoolRecord.Of(Kthread.Current, _system).TryRemove(this) && Katomic.Decrement(ref _disowned) < 0)
        {
            Katomic.Increment(ref _disowned);
            throw new InvalidOperationException($"memory pool {Name}: {Kthread.Current} frees an element that it does not hold and nobody has disowned");
        }

        Katomic.Increment(ref _frees);
        Return(element);
    }

    /// <summary>The element of the calling thread goes on with a request, and will be freed by whoever ends that.</summary>
    public void Disown()
    {
        Katomic.Increment(ref _disowned);
        if (!MempoolRecord.Of(Kthread.Current, _system).TryRemove(this))
        {
            Katomic.Decrement(ref _disowned);
            throw new InvalidOperationException($"memory pool {Name}: {Kthread.Current} disowns an element that it does not hold");
        }
    }

    /// <summary>As <see cref="Alloc"/>, but what is given leaves the books of the pool: an object of the allocator below, to be freed
    /// there, or offered with <see cref="TryDonate"/>.</summary>
    public byte* Draw(KmFlags flags)
    {
        Kthread self = Enter(flags);
        RequireNothingHeld(flags, self);
        byte* element = Get(flags, self);
        if (element != null)
        {
            Katomic.Increment(ref _allocs);
            Katomic.Increment(ref _frees);
        }

        return element;
    }

    /// <summary>Offers an object of the allocator below, which the caller gives up. True: the reserve needed it. False: the caller frees it.</summary>
    public bool TryDonate(byte* element) => Katomic.Load(ref _count) < _reserve.Length && TryPut(element);

    /// <summary>mempool_resize. Growing fills the reserve and may sleep; shrinking frees.</summary>
    public void Resize(int min)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(min, 1);
        var fresh = new nint[min];
        var surplus = new List<nint>();
        Kmutex mutex = _system.Mempools.Lock;
        mutex.Enter();
        int missing = Math.Max(0, min - _reserve.Length);
        while (_count > min)
        {
            surplus.Add(_reserve[--_count]);
        }

        _low = Math.Min(_low, _count);
        Array.Copy(_reserve, fresh, _count);
        _reserve = fresh;
        mutex.Exit();
        foreach (nint element in surplus)
        {
            Unpoison((byte*)element);
            _source.Free((byte*)element);
        }

        for (int i = 0; i < missing; i++)
        {
            Return(_source.Alloc(KmFlags.Sleep));
        }

        mutex.Enter();
        _low = _count;
        mutex.Exit();
    }

    /// <summary>mempool_destroy. Fails, naming the count, if elements are out.</summary>
    public void Destroy()
    {
        long held = OutCount;
        if (_destroyed || held != 0)
        {
            throw new InvalidOperationException(_destroyed ? $"memory pool {Name} is destroyed twice" : $"memory pool {Name} is destroyed with {held} elements out");
        }

        _destroyed = true;
        _system.Mempools.Remove(this);
        for (byte* element = TakeReserve(); element != null; element = TakeReserve())
        {
            _source.Free(element);
        }
    }

    /// <summary>The figures of this pool.</summary>
    public MempoolStats Statistics() => new()
    {
        Name = Name,
        ElementBytes = ElementBytes,
        MinElements = MinElements,
        InReserve = InReserve,
        LowWater = _low,
        Out = OutCount,
        Allocs = Katomic.Load(ref _allocs),
        FromReserve = _fromReserve,
        FromRetry = Katomic.Load(ref _fromRetry),
        Refills = _refills,
        Refused = Katomic.Load(ref _refused),
        Waits = _waits,
        WaitNs = _waitNs,
        Violations = Katomic.Load(ref _violations),
    };

    internal byte* AllocUnchecked(KmFlags flags)
    {
        Kthread self = Enter(flags);
        return Record(Get(flags, self), self);
    }

    internal bool MayBeTakenUnder(Mempool held) => Array.IndexOf(_under, held) >= 0;

    private Kthread Enter(KmFlags flags)
    {
        Gfp.Check(flags);
        if (_destroyed)
        {
            throw new InvalidOperationException($"memory pool {Name} is destroyed");
        }

        Kthread self = Kthread.Current;
        if (self.HeldCount != 0)
        {
            FsReclaim.Touch(flags, _system.Policy, self);
        }

        if (_system.Torture.Rate > 0)
        {
            _system.Torture.Point(flags, self);
        }

        return self;
    }

    private void RequireNothingHeld(KmFlags flags, Kthread self)
    {
        if ((flags & KmFlags.NoSleep) == 0 && MempoolRecord.TryOf(self, _system) is { Total: > 0 } record && record.FirstNotUnder(this) is { } held)
        {
            Violate(held, self);
        }
    }

    private void Violate(Mempool held, Kthread self)
    {
        string text = $"thread {self} asks for an element of memory pool {Name} and would wait, while it holds one of {held.Name}: take both with TakeAll";
        if (Katomic.Increment(ref _violations) == 1)
        {
            _system.Options.Warn?.Invoke(text);
        }

        if (_system.Options.StrictMempools)
        {
            throw new InvalidOperationException(text);
        }
    }

    private byte* Get(KmFlags flags, Kthread self)
    {
        while (true)
        {
            byte* element = _source.TryAlloc(flags, self);
            if (element == null)
            {
                element = TakeReserve();
            }

            if (element != null)
            {
                return element;
            }

            if ((flags & KmFlags.NoSleep) != 0)
            {
                Katomic.Increment(ref _refused);
                return null;
            }

            ReclaimOnce(flags, self);
            element = _source.TryAlloc(flags, self);
            if (element != null)
            {
                Katomic.Increment(ref _fromRetry);
                return element;
            }

            WaitFor(1);
        }
    }

    private byte* Record(byte* element, Kthread self)
    {
        if (element != null)
        {
            Katomic.Increment(ref _allocs);
            MempoolRecord.Of(self, _system).Add(this);
        }

        return element;
    }

    private void ReclaimOnce(KmFlags flags, Kthread self)
    {
        GfpMask gfp = Gfp.Scope(Gfp.Convert(flags, _system.Policy, self.Flags), _system.Policy, self.Flags);
        if (!Reclaimer.InReclaim(self))
        {
            _ = _system.Reclaimer.Direct(gfp, (int)((ElementBytes + ArenaMapping.PageSize - 1) >> ArenaMapping.PageShift), self);
        }
    }

    private void WaitFor(int need)
    {
        Kmutex mutex = _system.Mempools.Lock;
        mutex.Enter();
        if (_count < need)
        {
            long start = Kclock.NowNs;
            _waits++;
            _fruitless += _refilled.WaitUntil(mutex, start + WaitMaxNs, _wait) ? 0 : 1;
            _waitNs += Kclock.NowNs - start;
        }

        mutex.Exit();
    }

    private byte* TakeReserve()
    {
        Kmutex mutex = _system.Mempools.Lock;
        mutex.Enter();
        byte* element = _count > 0 ? Pop() : null;
        mutex.Exit();
        if (element != null)
        {
            Unpoison(element);
        }

        return element;
    }

    // Under the lock, not empty.
    private byte* Pop()
    {
        byte* element = (byte*)_reserve[--_count];
        _low = Math.Min(_low, _count);
        _fromReserve++;
        return element;
    }

    private void Return(byte* element)
    {
        if (!TryDonate(element))
        {
            _source.Free(element);
        }
    }

    private bool TryPut(byte* element)
    {
        if (_system.Options.Poison)
        {
            Poison.FillFree(element, ElementBytes);
        }

        Kmutex mutex = _system.Mempools.Lock;
        mutex.Enter();
        bool put = _count < _reserve.Length && !_destroyed;
        if (put)
        {
            _reserve[_count++] = (nint)element;
            _refills++;
            _fruitless = 0;
            _refilled.Broadcast();
        }

        mutex.Exit();
        if (!put)
        {
            Unpoison(element);
        }

        return put;
    }

    private void Unpoison(byte* element)
    {
        if (!_system.Options.Poison)
        {
            return;
        }

        long at = Poison.FirstDifference(element, ElementBytes);
        if (at >= 0)
        {
            throw new InvalidOperationException($"memory pool {Name}: element 0x{(ulong)element:x} was written at offset {at} while it was in the reserve");
        }

        Poison.FillUninit(element, ElementBytes);
    }
}
