using System.Numerics;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The slabs of the SLUB+Q engine. A bitmap per slab says which objects are free (in the page descriptor up to 64, beside it
/// above), so a free object is never touched and objects of a power of two are naturally aligned and cost nothing extra.
/// Partial slabs are in one list, fuller ones at its head, empty ones at its tail; an empty slab goes back to the page allocator
/// at once, but for one.
/// </summary>
internal sealed unsafe class SlubqEngine : SlabEngine
{
    private const int BitsPerWord = 64;
    private const int MaxEmptySlabs = 1;

    private readonly PageDesc[] _pages;
    private readonly SlabGeometry _geometry;
    private readonly bool _poison;
    private readonly Kmutex _lock = new("kmem_cache");
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

    internal SlubqEngine(KmemSystem system, string name, int size, int align, KmemCacheFlags flags)
        : base(system, name, flags)
    {
        _pages = system.Mapping.Pages;
        _geometry = new SlabGeometry(size, align);
        _poison = system.Options.Poison;
    }

    /// <inheritdoc/>
    internal override int QueueSize => _geometry.MagazineSize(System.ArenaBytes, Kthread.CpuCount);

    /// <inheritdoc/>
    internal override byte* Refill(Magazine magazine)
    {
        byte* obj = null;
        _lock.Enter();
        if (_partialHead >= 0)
        {
            _refills++;
            obj = TakeObject();
            int refill = (magazine.Objects.Length + 1) / 2;
            while (magazine.Count < refill && _partialHead >= 0)
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
        if (_partialHead >= 0)
        {
            obj = TakeObject();
            _slabAllocs++;
        }

        _lock.Exit();
        return obj;
    }

    /// <inheritdoc/>
    internal override void Put(byte* obj, int page)
    {
        _lock.Enter();
        PutObject(obj, page);
        _slabFrees++;
        int keep = System.Pages.HasWaiters ? 0 : MaxEmptySlabs;
        bool trim = _emptySlabs > keep;
        _lock.Exit();
        if (trim)
        {
            FreeEmptySlabs(keep);
        }

        System.Pages.Signal();
    }

    /// <inheritdoc/>
    internal override void Flush(Magazine magazine, int count)
    {
        _lock.Enter();
        for (int i = 0; i < count; i++)
        {
            byte* obj = magazine.Objects[i];
            PutObject(obj, System.Mapping.IndexOf(obj));
        }

        int left = magazine.Count - count;
        Array.Copy(magazine.Objects, count, magazine.Objects, 0, left);
        magazine.Count = left;
        bool trim = _emptySlabs > MaxEmptySlabs;
        _lock.Exit();
        if (trim)
        {
            FreeEmptySlabs(MaxEmptySlabs);
        }
    }

    /// <inheritdoc/>
    internal override byte* Grow(KmFlags flags, Kthread self)
    {
        GfpMask gfp = Gfp.Convert(flags, System.Policy, self.Flags);
        Stall stall = default;
        byte* obj;
        while (true)
        {
            int pages = _geometry.Pages;
            int head = NewSlab(ref pages, gfp, self);
            if (head >= 0)
            {
                obj = AddSlab(head, pages);
                break;
            }

            if (!System.Pages.Retry(ref stall, _geometry.MinPages, gfp, self))
            {
                Katomic.Increment(ref _failures);
                return null;
            }

            obj = TryTake();
            if (obj != null)
            {
                break;
            }
        }

        System.Pages.EndStall(ref stall);
        return obj;
    }

    /// <summary>Pages for a slab: of the best size, of the smallest one, or mapped together from scattered ones.</summary>
    private int NewSlab(ref int pages, GfpMask gfp, Kthread self)
    {
        bool sleeps = (gfp & GfpMask.DirectReclaim) != 0;
        if ((Flags & KmemCacheFlags.Vmem) != 0 && sleeps)
        {
            return System.Vmalloc.Alloc(pages, gfp, self);
        }

        int head = System.Pages.Try(pages, gfp, self);
        if (head < 0 && pages > _geometry.MinPages)
        {
            pages = _geometry.MinPages;
            head = System.Pages.Try(pages, gfp, self);
        }

        if (head == PageAllocator.Fragmented && (sleeps || System.Policy == KmemPolicy.Fstrans))
        {
            head = System.Vmalloc.Alloc(pages, gfp, self);
        }

        return head;
    }

    private byte* AddSlab(int head, int pages)
    {
        int objects = _geometry.ObjectsIn(pages);
        if (_poison)
        {
            Poison.FillFree(System.Mapping.Address(head), (long)pages << ArenaMapping.PageShift);
        }

        for (int i = head; i < head + pages; i++)
        {
            ref PageDesc p = ref _pages[i];
            p.Kind = PageKind.Slab;
            p.Head = head;
            p.Owner = Id;
        }

        ref PageDesc slab = ref _pages[head];
        slab.Pages = pages;
        slab.Objects = objects;
        slab.InUse = 0;
        slab.Listed = false;
        ClearBits(head, objects);

        _lock.Enter();
        _slabTotal++;
        _slabMax = Math.Max(_slabMax, _slabTotal);
        _objectTotal += objects;
        _bytes += (long)pages << ArenaMapping.PageShift;
        _emptySlabs++;
        LinkHead(head);
        byte* obj = TakeObject();
        _slabAllocs++;
        _lock.Exit();
        return obj;
    }

    /// <summary>Takes an object from the first partial slab. There is one; the lock is held.</summary>
    private byte* TakeObject()
    {
        int head = _partialHead;
        ref PageDesc slab = ref _pages[head];
        int index = TakeBit(head, ref slab);
        if (slab.InUse++ == 0)
        {
            _emptySlabs--;
            _slabAlloc++;
        }

        _objectMax = Math.Max(_objectMax, ++_objectInUse);
        if (slab.InUse == slab.Objects)
        {
            Unlink(head);
        }

        return System.Mapping.Address(head) + ((long)index * _geometry.Stride);
    }

    /// <summary>Gives an object back to its slab. The lock is held.</summary>
    private void PutObject(byte* obj, int page)
    {
        int head = _pages[page].Head;
        ref PageDesc slab = ref _pages[head];
        uint offset = (uint)(obj - System.Mapping.Address(head));
        int index = (int)(offset / (uint)_geometry.Stride);
        if ((uint)index * (uint)_geometry.Stride != offset || index >= slab.Objects || !PutBit(head, ref slab, index))
        {
            _lock.Exit();
            throw new InvalidOperationException($"cache {Name}: 0x{(ulong)obj:x} is no object, or is freed twice");
        }

        slab.InUse--;
        _objectInUse--;
        if (slab.InUse == 0)
        {
            _emptySlabs++;
            _slabAlloc--;
            if (slab.Listed)
            {
                Unlink(head);
            }

            LinkTail(head);
        }
        else if (!slab.Listed)
        {
            LinkHead(head);
        }
    }

    /// <inheritdoc/>
    internal override void Shrink() => FreeEmptySlabs(0);

    /// <summary>Frees empty slabs, which are at the tail of the list, until <paramref name="keep"/> are left.</summary>
    private void FreeEmptySlabs(int keep)
    {
        while (true)
        {
            _lock.Enter();
            int head = _partialTail;
            if (_emptySlabs <= keep || head < 0 || _pages[head].InUse != 0)
            {
                _lock.Exit();
                return;
            }

            Unlink(head);
            int pages = _pages[head].Pages;
            _emptySlabs--;
            _slabTotal--;
            _objectTotal -= _pages[head].Objects;
            _bytes -= (long)pages << ArenaMapping.PageShift;
            _lock.Exit();
            System.FreePages(head, pages);
        }
    }

    private void ClearBits(int head, int objects)
    {
        if (objects <= BitsPerWord)
        {
            _pages[head].Data = objects == BitsPerWord ? ulong.MaxValue : (1UL << objects) - 1;
            return;
        }

        Span<ulong> words = Words(head, objects);
        words.Fill(ulong.MaxValue);
        if (objects % BitsPerWord != 0)
        {
            words[^1] = (1UL << (objects % BitsPerWord)) - 1;
        }
    }

    private int TakeBit(int head, ref PageDesc slab)
    {
        if (slab.Objects <= BitsPerWord)
        {
            int bit = BitOperations.TrailingZeroCount(slab.Data);
            slab.Data &= slab.Data - 1;
            return bit;
        }

        Span<ulong> words = Words(head, slab.Objects);
        for (int i = 0; i < words.Length; i++)
        {
            if (words[i] != 0)
            {
                int bit = BitOperations.TrailingZeroCount(words[i]);
                words[i] &= words[i] - 1;
                return (i * BitsPerWord) + bit;
            }
        }

        throw new InvalidOperationException($"cache {Name}: a partial slab has no free object");
    }

    private bool PutBit(int head, ref PageDesc slab, int index)
    {
        ulong mask = 1UL << (index % BitsPerWord);
        ref ulong word = ref slab.Objects <= BitsPerWord ? ref slab.Data : ref Words(head, slab.Objects)[index / BitsPerWord];
        bool taken = (word & mask) == 0;
        word |= mask;
        return taken;
    }

    private Span<ulong> Words(int head, int objects) =>
        System.Mapping.SlabBits.AsSpan(head * ArenaMapping.BitWordsPerPage, (objects + BitsPerWord - 1) / BitsPerWord);

    private void LinkHead(int head)
    {
        ref PageDesc slab = ref _pages[head];
        slab.Listed = true;
        slab.Prev = -1;
        slab.Next = _partialHead;
        if (_partialHead >= 0)
        {
            _pages[_partialHead].Prev = head;
        }
        else
        {
            _partialTail = head;
        }

        _partialHead = head;
    }

    private void LinkTail(int head)
    {
        ref PageDesc slab = ref _pages[head];
        slab.Listed = true;
        slab.Next = -1;
        slab.Prev = _partialTail;
        if (_partialTail >= 0)
        {
            _pages[_partialTail].Next = head;
        }
        else
        {
            _partialHead = head;
        }

        _partialTail = head;
    }

    private void Unlink(int head)
    {
        ref PageDesc slab = ref _pages[head];
        if (slab.Prev >= 0)
        {
            _pages[slab.Prev].Next = slab.Next;
        }
        else
        {
            _partialHead = slab.Next;
        }

        if (slab.Next >= 0)
        {
            _pages[slab.Next].Prev = slab.Prev;
        }
        else
        {
            _partialTail = slab.Prev;
        }

        slab.Listed = false;
    }

    /// <inheritdoc/>
    internal override bool IsObject(byte* obj, int page)
    {
        long offset = obj - System.Mapping.Address(_pages[page].Head);
        return offset % _geometry.Stride == 0 && offset / _geometry.Stride < _pages[_pages[page].Head].Objects;
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
            ObjectsOut = _objectInUse,
            ObjectsMax = _objectMax,
            Bytes = _bytes,
            Refills = _refills,
            Failures = Katomic.Load(ref _failures),
            Allocs = _slabAllocs,
            Frees = _slabFrees,
        };
        _lock.Exit();
        return stats;
    }
}
