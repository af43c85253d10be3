using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Writes gathered for one vdev. Run sorts them by offset, joins those that touch into calls of up to 1 MiB, and issues the
/// calls. Two writes to one place (a block written again in the same txg) keep their order and are never joined.
/// </summary>
internal sealed class VdevQueueBatch : TaskqEntry
{
    internal const int MaxIos = 2000;

    private const int MaxCallBytes = 1 << 20;

    // Below IOV_MAX (1024) by the two that one copy may need.
    private const int MaxSegments = 1000;

    private readonly VdevQueue _queue;
    private readonly VdevQueueIo[] _ios = new VdevQueueIo[MaxIos];
    private readonly IoSegment[] _segments = new IoSegment[MaxSegments + 2];

    internal VdevQueueBatch(VdevQueue queue) => _queue = queue;

    internal VdevQueueBatch? NextFree;

    internal int Count { get; private set; }

    internal long Bytes { get; private set; }

    internal void Add(in VdevQueueIo io)
    {
        _ios[Count++] = io;
        Bytes += io.Padded;
    }

    /// <inheritdoc/>
    protected override void Run()
    {
        _ios.AsSpan(0, Count).Sort();
        for (int first = 0; first < Count;)
        {
            first = IssueOne(first);
        }

        Array.Clear(_ios, 0, Count);
        Count = 0;
        Bytes = 0;
        _queue.Recycle(this);
    }

    // Issues one call that starts with the given write; returns the first write after it.
    private int IssueOne(int first)
    {
        ulong offset = _ios[first].Offset;
        int bytes = 0;
        int segments = 0;
        int next = first;
        do
        {
            ref readonly VdevQueueIo io = ref _ios[next];
            segments = AddSegments(io, segments);
            bytes += io.Padded;
            next++;
        }
        while (next < Count && _ios[next].Offset == offset + (ulong)bytes && bytes + _ios[next].Padded <= MaxCallBytes && segments < MaxSegments);
        int error = _queue.Vdev.Write(offset, _segments.AsSpan(0, segments));
        _queue.CountCall(bytes);
        for (int i = first; i < next; i++)
        {
            _queue.Pipeline.FinishIo(_ios[i].Owner, error);
        }

        return next;
    }

    // Bytes that follow one another in memory need one segment.
    private int AddSegments(in VdevQueueIo io, int segments)
    {
        if (segments > 0 && _segments[segments - 1].Data + _segments[segments - 1].Length == io.Data)
        {
            _segments[segments - 1] = new IoSegment(_segments[segments - 1].Data, _segments[segments - 1].Length + io.Length);
        }
        else
        {
            _segments[segments++] = new IoSegment(io.Data, io.Length);
        }

        if (io.Padded > io.Length)
        {
            _segments[segments++] = new IoSegment(_queue.Pipeline.Zeros, io.Padded - io.Length);
        }

        return segments;
    }
}
