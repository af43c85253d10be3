namespace ZfsLite.Fs;

/// <summary>
/// The changes of one txg (itxg_t): a list of those that every commit writes (names), and one list per object of those that only a commit of the
/// object writes (contents, attributes). Guarded by the log's lock.
/// </summary>
internal sealed unsafe class ItxGroup
{
    /// <summary>Neighbouring writes are joined up to so many bytes.</summary>
    private const ulong JoinMax = 128 << 10;

    private const int Buckets = 64;

    private readonly nint[] _objects = new nint[Buckets];
    private Itx* _head;
    private Itx* _tail;
    private int _async;

    /// <summary>The txg; 0: none.</summary>
    internal ulong Txg { get; set; }

    /// <summary>Something in it has no record: whoever commits waits for the txg.</summary>
    internal bool MustSync { get; set; }

    /// <summary>Adds to the list of every commit.</summary>
    internal void AddSync(Itx* itx)
    {
        itx->Next = null;
        if (_head is null)
        {
            _head = itx;
        }
        else
        {
            _tail->Next = itx;
        }

        _tail = itx;
    }

    /// <summary>Adds to the object's list.</summary>
    internal void AddAsync(Itx* itx, ulong obj)
    {
        itx->Next = null;
        itx->Object = obj;
        _async++;
        if (Find(obj) is var first && first is not null)
        {
            first->ChainTail->Next = itx;
            first->ChainTail = itx;
            return;
        }

        ref nint bucket = ref _objects[BucketOf(obj)];
        itx->ChainNext = (Itx*)bucket;
        itx->ChainTail = itx;
        bucket = (nint)itx;
    }

    /// <summary>Makes a write part of the object's last change, if that is a write that ends where it begins.</summary>
    internal bool TryJoin(ulong obj, ulong offset, ulong length)
    {
        Itx* first = Find(obj);
        if (first is null)
        {
            return false;
        }

        ZilRecord* last = Itx.RecordOf(first->ChainTail);
        if (last->Kind != ZilTx.Write || last->Length != ZilRecord.WriteSize || last->Word[1] + last->Word[2] != offset || last->Word[2] + length > JoinMax)
        {
            return false;
        }

        last->Word[2] += length;
        return true;
    }

    /// <summary>Moves an object's list to the end of the list of every commit.</summary>
    internal void Promote(ulong obj)
    {
        Itx* first = Unchain(obj);
        while (first is not null)
        {
            Itx* next = first->Next;
            AddSync(first);
            _async--;
            first = next;
        }
    }

    /// <summary>Takes the list of every commit.</summary>
    internal Itx* TakeSync()
    {
        Itx* list = _head;
        _head = null;
        _tail = null;
        return list;
    }

    /// <summary>Takes an object's list.</summary>
    internal Itx* TakeObject(ulong obj)
    {
        Itx* first = Unchain(obj);
        for (Itx* at = first; at is not null; at = at->Next)
        {
            _async--;
        }

        return first;
    }

    /// <summary>Takes everything, and is empty.</summary>
    internal Itx* TakeAll()
    {
        for (int i = 0; i < Buckets && _async > 0; i++)
        {
            while (_objects[i] != 0)
            {
                Promote(((Itx*)_objects[i])->Object);
            }
        }

        Txg = 0;
        MustSync = false;
        return TakeSync();
    }

    private static int BucketOf(ulong obj) => (int)(obj % Buckets);

    private Itx* Find(ulong obj)
    {
        var at = (Itx*)_objects[BucketOf(obj)];
        while (at is not null && at->Object != obj)
        {
            at = at->ChainNext;
        }

        return at;
    }

    private Itx* Unchain(ulong obj)
    {
        if (_async == 0)
        {
            return null;
        }

        ref nint bucket = ref _objects[BucketOf(obj)];
        Itx* before = null;
        for (var at = (Itx*)bucket; at is not null; before = at, at = at->ChainNext)
        {
            if (at->Object == obj)
            {
                if (before is null)
                {
                    bucket = (nint)at->ChainNext;
                }
                else
                {
                    before->ChainNext = at->ChainNext;
                }

                return at;
            }
        }

        return null;
    }
}
