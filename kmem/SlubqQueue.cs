using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// A queue of free objects behind those of the virtual CPUs: the shared queue of a node, or an alien queue, where a node collects
/// objects of another one's slabs. A stack, the object freed last on top. Its array is made when it is first needed. All
/// members but <see cref="Count"/> are used under its lock.
/// </summary>
internal sealed unsafe class SlubqQueue(KmemSystem system, string lockClass, int size)
{
    private readonly Kmutex _lock = new(lockClass);
    private byte** _objects;
    private int _capacity;

    /// <summary>Objects in it: exact under the lock, a guess without.</summary>
    internal int Count { get; private set; }

    /// <summary>Objects that it may hold.</summary>
    internal int Size { get; private set; } = size;

    /// <summary>Has it an array now? A guess.</summary>
    internal bool HasArray => _capacity > 0;

    /// <summary>Objects taken over all time. With the queue's own lock, not an atomic of the engine: two threads that hand objects to
    /// one another would both write to it.</summary>
    internal long Taken { get; private set; }

    /// <summary>Objects added over all time.</summary>
    internal long Added { get; private set; }

    /// <summary>Takes the lock.</summary>
    internal void Enter() => _lock.Enter();

    /// <summary>Drops the lock.</summary>
    internal void Exit() => _lock.Exit();

    /// <summary>Moves the hottest objects to an array, the hottest last.</summary>
    /// <returns>How many.</returns>
    internal int Take(byte** into, int max)
    {
        int n = Math.Min(max, Count);
        Count -= n;
        Taken += n;
        new ReadOnlySpan<nint>(_objects + Count, n).CopyTo(new Span<nint>(into, n));
        return n;
    }

    /// <summary>Adds objects, if there is room for all of them.</summary>
    internal bool TryPut(byte** from, int count)
    {
        if (Count + count > Size || (_capacity < Size && !TryMake()))
        {
            return false;
        }

        new ReadOnlySpan<nint>(from, count).CopyTo(new Span<nint>(_objects + Count, count));
        Count += count;
        Added += count;
        return true;
    }

    /// <summary>The objects, for a drain: read under the lock.</summary>
    internal byte** Objects => _objects;

    /// <summary>Forgets the coldest objects, which have gone elsewhere.</summary>
    internal void DropColdest(int count)
    {
        Count -= count;
        new ReadOnlySpan<nint>(_objects + count, Count).CopyTo(new Span<nint>(_objects, Count));
    }

    /// <summary>Changes the size. What is more than fits must have been drained. The array follows.</summary>
    internal void Resize(int size)
    {
        Size = size;
        Release(size);
    }

    /// <summary>Gives the array back, if it is empty or too large.</summary>
    internal void Release(int keep)
    {
        if (_capacity > keep && Count == 0)
        {
            byte** old = _objects;
            int capacity = _capacity;
            _objects = null;
            _capacity = 0;
            system.QueueMemory.Free(old, capacity);
        }
    }

    private bool TryMake()
    {
        byte** array = system.QueueMemory.Alloc(Size, KmFlags.NoSleep);
        if (array == null)
        {
            return false;
        }

        byte** old = _objects;
        int oldCapacity = _capacity;
        new ReadOnlySpan<nint>(old, Count).CopyTo(new Span<nint>(array, Size));
        _objects = array;
        _capacity = Size;
        if (old != null)
        {
            system.QueueMemory.Free(old, oldCapacity);
        }

        return true;
    }
}
