using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The range lock of a file: readers share, writers exclude, over byte ranges. First come, first served: a request waits for
/// every earlier one that it conflicts with, held or waiting, so nobody starves. Taken before a transaction is assigned, never
/// inside one.
/// </summary>
internal sealed class RangeLock : IWaitable
{
    private readonly Kmutex _mutex = new("zfs_range");
    private readonly Kcondvar _released = new("zfs_range");
    private RangeLockEntry? _head;
    private RangeLockEntry? _tail;
    private int _waiting;

    /// <inheritdoc/>
    public string WaitName => "file range";

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        for (RangeLockEntry? e = _head; e is not null; e = e.Next)
        {
            if (e.Owner is { } owner)
            {
                owners.Add(owner);
            }
        }
    }

    /// <summary>Takes [start, end); end ulong.MaxValue: to infinity.</summary>
    internal RangeLockEntry Enter(RangeLockPool pool, ulong start, ulong end, bool writer)
    {
        RangeLockEntry e = pool.Take();
        e.Start = start;
        e.End = end;
        e.IsWriter = writer;
        e.Next = null;
        _mutex.Enter();
        if (_tail is null)
        {
            _head = e;
        }
        else
        {
            _tail.Next = e;
        }

        _tail = e;
        while (HasEarlierConflict(e))
        {
            _waiting++;
            _released.Wait(_mutex, this);
            _waiting--;
        }

        e.Owner = Kthread.Current;
        _mutex.Exit();
        return e;
    }

    /// <summary>Lets go of a range.</summary>
    internal void Exit(RangeLockPool pool, RangeLockEntry e)
    {
        _mutex.Enter();
        Remove(e);
        if (_waiting > 0)
        {
            _released.Broadcast();
        }

        _mutex.Exit();
        pool.Give(e);
    }

    private bool HasEarlierConflict(RangeLockEntry e)
    {
        for (RangeLockEntry? other = _head; !ReferenceEquals(other, e); other = other!.Next)
        {
            if ((other!.IsWriter || e.IsWriter) && other.Start < e.End && e.Start < other.End)
            {
                return true;
            }
        }

        return false;
    }

    private void Remove(RangeLockEntry e)
    {
        RangeLockEntry? before = null;
        for (RangeLockEntry? at = _head; at is not null; before = at, at = at.Next)
        {
            if (ReferenceEquals(at, e))
            {
                if (before is null)
                {
                    _head = e.Next;
                }
                else
                {
                    before.Next = e.Next;
                }

                if (ReferenceEquals(_tail, e))
                {
                    _tail = before;
                }

                return;
            }
        }

        throw new InvalidOperationException($"range {e.Start}..{e.End} is not held");
    }
}
