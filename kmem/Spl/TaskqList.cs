namespace ZfsLite.Kmem.Spl;

/// <summary>A singly linked list of entries; guarded by the queue's mutex.</summary>
internal struct TaskqList
{
    private TaskqEntry? _head;
    private TaskqEntry? _tail;

    internal readonly TaskqEntry? Head => _head;

    internal int Count { get; private set; }

    internal void AddLast(TaskqEntry entry)
    {
        entry.Next = null;
        if (_tail is null)
        {
            _head = entry;
        }
        else
        {
            _tail.Next = entry;
        }

        _tail = entry;
        Count++;
    }

    /// <summary>Adds in order of time due; of entries due together the older comes first.</summary>
    internal void AddByTime(TaskqEntry entry)
    {
        TaskqEntry? before = null;
        for (TaskqEntry? e = _head; e is not null && e.DueNs <= entry.DueNs; e = e.Next)
        {
            before = e;
        }

        if (before == _tail)
        {
            AddLast(entry);
            return;
        }

        entry.Next = before is null ? _head : before.Next;
        if (before is null)
        {
            _head = entry;
        }
        else
        {
            before.Next = entry;
        }

        Count++;
    }

    internal TaskqEntry? RemoveFirst()
    {
        TaskqEntry? entry = _head;
        if (entry is not null)
        {
            Remove(entry);
        }

        return entry;
    }

    internal bool Remove(TaskqEntry entry)
    {
        TaskqEntry? before = null;
        for (TaskqEntry? e = _head; e is not null; before = e, e = e.Next)
        {
            if (ReferenceEquals(e, entry))
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

                e.Next = null;
                Count--;
                return true;
            }
        }

        return false;
    }

    /// <summary>The lowest number in the list, or the limit given.</summary>
    internal readonly long LowestId(long limit)
    {
        for (TaskqEntry? e = _head; e is not null; e = e.Next)
        {
            limit = Math.Min(limit, e.Id);
        }

        return limit;
    }
}
