using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>Requests without a worker: parked ones, which wait for a place, and detached ones, which wait for the intent log.</summary>
public sealed unsafe partial class FuseSession
{
    /// <summary>Parks the request and gives the worker another. Entered with the mutex held, leaves without.</summary>
    private void Park(Worker worker, FuseRequest request)
    {
        int keep = request.Compact();
        if (_parkedTail is null)
        {
            _parkedHead = request;
        }
        else
        {
            _parkedTail.Next = request;
        }

        var surplus = default(SurplusBuffers);
        while (request.BufferCount > keep)
        {
            surplus.Add(request.TakeBuffer());
        }

        _parkedTail = request;
        request.Next = null;
        _parkedCount++;
        ParkedTotal++;
        long needed = FuseRequest.HeadBytes + ((long)keep * FuseSessionOptions.RecordBytes);
        request.ParkedBytes = needed;
        worker.Request = null;
        while (_parkedBytes > 0 && _parkedBytes + needed > _parkedBytesMax)
        {
            _waitsForRoom++;
            _room.Wait(_mutex);
            _waitsForRoom--;
        }

        _parkedBytes += needed;
        _mutex.Exit();
        FuseRequest next = NewRequest(KmFlags.Sleep)!;
        worker.Request = next;
        while (surplus.Count > 0)
        {
            next.AddBuffer(surplus.Take());
        }

        Fill(next);
    }

    private void Unlink(FuseRequest? previous, FuseRequest request)
    {
        if (previous is null)
        {
            _parkedHead = request.Next;
        }
        else
        {
            previous.Next = request.Next;
        }

        if (ReferenceEquals(_parkedTail, request))
        {
            _parkedTail = previous;
        }

        request.Next = null;
        _parkedCount--;
    }

    private void Interrupt(Worker worker, FuseRequest request)
    {
        request.NoReply();
        worker.Stats[(int)FuseOpcode.Interrupt].Count++;
        if (request.MessageLength < 48)
        {
            return;
        }

        ulong unique = ((FuseInterruptIn*)(request.Message + 40))->Unique;
        _mutex.Enter();
        FuseRequest? previous = null;
        FuseRequest? parked = _parkedHead;
        while (parked is not null && parked.Header->Unique != unique)
        {
            previous = parked;
            parked = parked.Next;
        }

        if (parked is not null)
        {
            Unlink(previous, parked);
        }

        _mutex.Exit();
        if (parked is not null)
        {
            parked.ReplyError(Errno.EINTR);
            Release(parked);
        }
    }

    /// <summary>
    /// A request leaves its worker, which gets another one: it will be answered by somebody else. It counts as parked ones do. False: there is no
    /// room for that, or no memory at once.
    /// </summary>
    internal bool TryDetach(FuseRequest request)
    {
        Worker worker = request.Worker!;
        bool wasParked = !ReferenceEquals(worker.Request, request);
        if (!wasParked && (request.Compact() != 0 || !TryCharge(request)))
        {
            return false;
        }

        if (!wasParked)
        {
            FuseRequest? next = NewRequest(KmFlags.NoSleep);
            if (next is null)
            {
                Discharge(request);
                return false;
            }

            while (request.BufferCount > 0)
            {
                next.AddBuffer(request.TakeBuffer());
            }

            worker.Request = next;
        }

        request.IsDetached = true;
        _mutex.Enter();
        _detached++;
        _mutex.Exit();
        return true;
    }

    /// <summary>A request that had left has been answered.</summary>
    internal void EndDetached(FuseRequest request)
    {
        Stat stat = Measure(request);
        _mutex.Enter();
        _detachedStats[SlotOf(request)].Add(stat);
        _mutex.Exit();
        Release(request);
    }

    private bool TryCharge(FuseRequest request)
    {
        _mutex.Enter();
        bool fits = _parkedBytes + FuseRequest.HeadBytes <= _parkedBytesMax;
        if (fits)
        {
            _parkedBytes += FuseRequest.HeadBytes;
            request.ParkedBytes = FuseRequest.HeadBytes;
        }

        _mutex.Exit();
        return fits;
    }

    private void Discharge(FuseRequest request)
    {
        _mutex.Enter();
        DischargeLocked(request);
        _mutex.Exit();
    }

    private void DischargeLocked(FuseRequest request)
    {
        _parkedBytes -= request.ParkedBytes;
        request.ParkedBytes = 0;
        if (_waitsForRoom > 0)
        {
            _room.Broadcast();
        }
    }

    /// <summary>Buffers on their way from one request to another.</summary>
    private struct SurplusBuffers
    {
        private fixed ulong _buffers[8];

        internal int Count;

        internal void Add(byte* buffer) => _buffers[Count++] = (ulong)buffer;

        internal byte* Take() => (byte*)_buffers[--Count];
    }
}
