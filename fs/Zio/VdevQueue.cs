using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>The writes of one vdev: gathers them into batches and hands full batches to the vdev's one issuing thread, which keeps
/// them in order. Add and Flush are called under the pipeline's placing lock.</summary>
internal sealed class VdevQueue(ZioPipeline pipeline, Vdev vdev, Taskq issuer, long batchBytes)
{
    private readonly Kmutex _mutex = new("vdev_queue");
    private VdevQueueBatch? _free;
    private VdevQueueBatch? _open;
    private long _sequence;
    private long _calls;
    private long _bytes;

    internal ZioPipeline Pipeline => pipeline;

    internal Vdev Vdev => vdev;

    internal long Calls => _calls;

    internal long BytesWritten => _bytes;

    internal long Ios => _sequence;

    internal unsafe void Add(ulong offset, byte* data, int length, int padded, ZioWrite owner)
    {
        _open ??= TakeBatch();
        _open.Add(new VdevQueueIo(offset, _sequence++, (nint)data, length, padded, owner));
        if (_open.Count == VdevQueueBatch.MaxIos || _open.Bytes >= batchBytes)
        {
            Flush();
        }
    }

    /// <summary>Hands what is gathered to the issuing thread.</summary>
    internal void Flush()
    {
        if (_open is { } batch)
        {
            _open = null;
            issuer.Dispatch(batch);
        }
    }

    /// <summary>A batch is done and may be used again.</summary>
    internal void Recycle(VdevQueueBatch batch)
    {
        _mutex.Enter();
        batch.NextFree = _free;
        _free = batch;
        _mutex.Exit();
    }

    internal void CountCall(int bytes)
    {
        Katomic.Increment(ref _calls);
        Katomic.Add(ref _bytes, bytes);
    }

    private VdevQueueBatch TakeBatch()
    {
        _mutex.Enter();
        VdevQueueBatch? batch = _free;
        if (batch is not null)
        {
            _free = batch.NextFree;
            batch.NextFree = null;
        }

        _mutex.Exit();
        return batch ?? new VdevQueueBatch(this);
    }
}
