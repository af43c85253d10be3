using System.Numerics;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>The slabs of a cache: growing, taking and giving back objects, the partial list, emptying.</summary>
public sealed unsafe partial class KmemCache
{
    private const int BitsPerWord = 64;
    private const int MaxEmptySlabs = 1;

    /// <summary>Fills up to half of an empty magazine from partial slabs, and takes one object more for the caller, or null.</summary>
    private byte* Refill(Magazine magazine)
    {
        byte* obj = null;
        _lock.Enter();
        if (_partialHead >= 0)
        {
            _refills++;
            obj = TakeObject();
            while (magazine.Count < _refill && _partialHead >= 0)
            {
                magazine.Objects[magazine.Count++] = TakeObject();
            }
        }

        _lock.Exit();
        return obj;
    }

    private byte* FromSlab()
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

    private void ToSlab(byte* obj, int page)
    {
        _lock.Enter();
        PutObject(obj, page);
        _slabFrees++;
        int keep = _system.Pages.HasWaiters ? 0 : MaxEmptySlabs;
        bool trim = _emptySlabs > keep;
        _lock.Exit();
        if (trim)
        {
            FreeEmptySlabs(keep);
        }

        _system.Pages.Signal();
    }

    /// <summary>Gives the oldest objects of a magazine, which the caller has entered, back to their slabs.</summary>
    private void Flush(Magazine magazine, int count)
    {
        _lock.Enter();
        for (int i = 0; i < count; i++)
        {
            byte* obj = magazine.Objects[i];
            PutObject(obj, _system.Mapping.IndexOf(obj));
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

    /// <summary>Adds a slab and takes an object from it; or from a slab that others gave back meanwhile.</summary>
    private byte* Grow(KmFlags flags, Kthread self)
    {
        GfpMask gfp = Gfp.Convert(flags, _system.Policy, self.Flags);
        ThrowIfDestroyed();
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

            if (!_system.Pages.Retry(ref stall, _geometry.MinPages, gfp, self))
            {
                Katomic.Increment(ref _failures);
                return null;
            }

            obj = FromSlab();
            if (obj != null)
            {
                break;
            }
        }

        _system.Pages.EndStall(ref stall);
        return obj;
    }

    /// <summary>Pages for a slab: of the best size, of the smallest one, or mapped together from scattered ones.</summary>
    private int NewSlab(ref int pages, GfpMask gfp, Kthread self)
    {
        bool sleeps = (gfp & GfpMask.DirectReclaim) != 0;
        if ((_flags & KmemCacheFlags.Vmem) != 0 && sleeps)
        {
            return _system.Vmalloc.Alloc(pages, gfp, self);
        }

        int head = _system.Pages.Try(pages, gfp, self);
        if (head < 0 && pages > _geometry.MinPages)
        {
            pages = _geometry.MinPages;
            head = _system.Pages.Try(pages, gfp, self);
        }

        if (head == PageAllocator.Fragmented && (sleeps || _system.Policy == KmemPolicy.Fstrans))
        {
            head = _system.Vmalloc.Alloc(pages, gfp, self);
        }

        return head;
    }

    private byte* AddSlab(int head, int pages)
    {
        int objects = _geometry.ObjectsIn(pages);
        if (_poison)
        {
            Poison.FillFree(_system.Mapping.Address(head), (long)pages << ArenaMapping.PageShift);
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

        return _system.Mapping.Address(head) + ((long)index * _geometry.Stride);
    }

    /// <summary>Gives an object back to its slab. The lock is held.</summary>
    private void PutObject(byte* obj, int page)
    {
        int head = _pages[page].Head;
        ref PageDesc slab = ref _pages[head];
        uint offset = (uint)(obj - _system.Mapping.Address(head));
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
            _system.FreePages(head, pages);
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
        _system.Mapping.SlabBits.AsSpan(head * ArenaMapping.BitWordsPerPage, (objects + BitsPerWord - 1) / BitsPerWord);

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
        long offset = obj - _system.Mapping.Address(_pages[page].Head);
        if (offset % _geometry.Stride != 0)
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
