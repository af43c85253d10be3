using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The write pipeline of a pool. A block passes four stations:
///
/// 1. prepared, by a worker: found to be a hole, compressed, checksummed (small blocks at once, by the submitter);
/// 2. placed, by whoever submits or waits: space allocated (or the place of an earlier version in the same txg taken over) and
///    the block pointer completed. Blocks are placed in the order in which they were submitted, however the workers finish, so
///    the layout on disk is the submitter's order and the same in every run;
/// 3. gathered per vdev, sorted, joined, and issued in large calls by the vdev's one issuing thread;
/// 4. done: OnDone runs, the scratch memory goes back.
///
/// Bytes are copied at most once: a block stored as it is goes to disk from the owner's memory, a compressed one from the
/// scratch buffer. Blocks in flight are bounded in bytes; Submit waits for the oldest when there are too many.
///
/// A block written again in its own birth txg stays in place if it still fits: its stored form is padded with zeros to the
/// size it had. So writing the MOS until it stops changing comes to an end: only a block that grows moves.
///
/// One thread at a time submits and waits (the sync thread): who waits must know that nobody leaves blocks in a queue after it
/// has flushed the queues.
///
/// Memory (SyncPool): a prepared block keeps its scratch buffer until all blocks before it are placed, so a worker must not
/// wait for memory that a later block has. It takes what ordinary allocations may have; when there is none it waits until its block
/// is the next to be placed, and draws on the pool: whoever has an element is past its place and needs no memory any more.
///
/// Locks: _placing (held over the allocator and OnPlaced) before _mutex (counters and the order list). OnPlaced must not submit.
/// </summary>
public sealed unsafe class ZioPipeline : IDisposable
{
    private const int MaxIssuers = 8;
    private const int InlineBytes = 4096;
    private const int MaxBlock = 128 << 10;
    private const int MaxSector = 1 << 16;

    // One is compressed into while another is written.
    private const int ScratchMin = 2;

    private readonly Kmutex _placing = new("zio_placing");
    private readonly Kmutex _mutex = new("zio_pipeline");
    private readonly Kcondvar _progress = new("zio_pipeline");
    private readonly Kcondvar _turn = new("zio_turn");
    private readonly ZioTurnWait _turnWait;
    private readonly SpaAllocator _allocator;
    private readonly VdevQueue?[] _queues;
    private readonly int[] _ashifts;
    private readonly Taskq _workers;
    private readonly Taskq[] _issuers;
    private readonly ZioPipelineWait _progressWait;
    private readonly long _inFlightMax;
    private readonly Mempool? _scratch;
    private byte* _zeros;
    private int _turnWaiters;
    private ZioWrite? _head;
    private ZioWrite? _tail;
    private long _inFlightBytes;
    private int _outstanding;
    private int _firstError;
    private int _waiters;
    private long _blocks;
    private long _logicalBytes;
    private long _holes;
    private long _compressed;
    private long _inPlace;
    private long _inTurn;

    /// <summary>Makes a pipeline and starts its threads.</summary>
    /// <param name="allocator">Gives the space.</param>
    /// <param name="vdevs">Top-level vdevs.</param>
    /// <param name="workers">Threads that compress and checksum.</param>
    public ZioPipeline(SpaAllocator allocator, IReadOnlyList<Vdev> vdevs, int workers)
    {
        _allocator = allocator;
        uint maxId = vdevs.Max(static v => v.Id);
        _queues = new VdevQueue?[maxId + 1];
        _ashifts = new int[maxId + 1];
        _inFlightMax = Math.Clamp(KmemSystem.Current.ArenaBytes / 16, 2 << 20, 32 << 20);
        ThreadFlags marks = Fstrans.WorkerFlags | ThreadFlags.SyncPath;
        _workers = new Taskq("z_wr_iss", workers, marks);
        _issuers = new Taskq[Math.Min(MaxIssuers, vdevs.Count)];
        for (int i = 0; i < _issuers.Length; i++)
        {
            _issuers[i] = new Taskq($"z_wr_int_{i}", 1, marks);
        }

        _progressWait = new ZioPipelineWait(_workers, _issuers);
        _turnWait = new ZioTurnWait(_workers, _issuers);
        for (int i = 0; i < vdevs.Count; i++)
        {
            Vdev v = vdevs[i];
            _queues[v.Id] = new VdevQueue(this, v, _issuers[i % _issuers.Length], _inFlightMax / 4);
            _ashifts[v.Id] = v.Ashift;
        }

        _zeros = KmemAllocator.Zalloc(MaxSector, KmFlags.Sleep);
        if (SyncPool.InForce)
        {
            _scratch = Mempool.OfCache("zio_scratch", ZioBuf.CacheFor(MaxBlock), ScratchMin, _progressWait);
        }
    }

    /// <summary>Called with the bytes and the txg of every block that is done and has <see cref="ZioWrite.DirtyBytes"/>.</summary>
    public Action<long, ulong>? UndirtySpace { get; set; }

    internal nint Zeros => (nint)_zeros;

    /// <summary>What was done so far.</summary>
    public ZioPipelineStats GetStats()
    {
        long ios = 0;
        long calls = 0;
        long bytes = 0;
        foreach (VdevQueue? q in _queues)
        {
            ios += q?.Ios ?? 0;
            calls += q?.Calls ?? 0;
            bytes += q?.BytesWritten ?? 0;
        }

        return new ZioPipelineStats(_blocks, _logicalBytes, _holes, _compressed, _inPlace, ios, calls, bytes, _inTurn);
    }

    /// <summary>Starts a write. May wait until older ones are done; may read space maps of the MOS in the calling thread.</summary>
    public void Submit(ZioWrite zio)
    {
        ArgumentNullException.ThrowIfNull(zio);
        Check(zio);
        zio.Pipeline = this;
        zio.NextInOrder = null;
        zio.IsPrepared = false;
        zio.FitsInPlace = false;
        zio.BecameHole = false;
        zio.RewriteReplaced = false;
        zio.Error = 0;
        zio.Bp = default;
        _mutex.Enter();
        while (_inFlightBytes > 0 && _inFlightBytes + zio.LogicalSize > _inFlightMax)
        {
            _mutex.Exit();
            MakeRoom();
            _mutex.Enter();
        }

        _inFlightBytes += zio.LogicalSize;
        _outstanding++;
        _blocks++;
        _logicalBytes += zio.LogicalSize;
        if (_tail is null)
        {
            _head = zio;
        }
        else
        {
            _tail.NextInOrder = zio;
        }

        _tail = zio;
        _mutex.Exit();
        if (zio.LogicalSize <= InlineBytes)
        {
            PrepareInWorker(zio);
        }
        else
        {
            _workers.Dispatch(zio);
        }

        if (_placing.TryEnter())
        {
            PlaceReady();
            _placing.Exit();
        }
    }

    /// <summary>Waits until every block submitted so far has its final block pointer. The bytes may not be written yet.</summary>
    public void WaitPlaced()
    {
        while (true)
        {
            _placing.Enter();
            PlaceReady();
            _placing.Exit();
            _mutex.Enter();
            if (_head is null)
            {
                _mutex.Exit();
                return;
            }

            while (_head is { IsPrepared: false })
            {
                WaitProgress();
            }

            _mutex.Exit();
        }
    }

    /// <summary>Waits until the bytes of every block submitted so far have been handed to the vdevs (not flushed), and OnDone has
    /// run.</summary>
    /// <returns>0, or the first error since the last WaitAll: ENOSPC or that of a failed write.</returns>
    public int WaitAll()
    {
        WaitPlaced();
        FlushQueues();
        _mutex.Enter();
        while (_outstanding > 0)
        {
            WaitProgress();
        }

        int error = _firstError;
        _firstError = 0;
        _mutex.Exit();
        return error;
    }

    /// <summary>Waits for all writes and ends the threads.</summary>
    public void Dispose()
    {
        if (_zeros == null)
        {
            return;
        }

        WaitAll();
        _workers.Destroy();
        foreach (Taskq issuer in _issuers)
        {
            issuer.Destroy();
        }

        KmemAllocator.Free(_zeros, MaxSector);
        _zeros = null;
        _scratch?.Destroy();
    }

    internal void PrepareInWorker(ZioWrite zio)
    {
        ZioWritePrepare.Run(zio);
        _mutex.Enter();
        zio.IsPrepared = true;
        if (_waiters > 0 && ReferenceEquals(_head, zio))
        {
            _progress.Broadcast();
        }

        _mutex.Exit();
    }

    /// <summary>Memory to compress a block in; null: store it as it is.</summary>
    internal byte* TakeScratch(ZioWrite zio)
    {
        zio.ScratchIsPooled = false;
        if (_scratch is null)
        {
            return ZioBuf.Alloc(zio.LogicalSize, KmFlags.PushPage);
        }

        if (zio.LogicalSize <= InlineBytes)
        {
            // The submitter prepares it, who can't wait for himself.
            return ZioBuf.Alloc(zio.LogicalSize, KmFlags.PushPage | KmFlags.NoSleep);
        }

        byte* scratch = ZioBuf.Alloc(zio.LogicalSize, KmFlags.NoSleep);
        return scratch != null ? scratch : WaitForScratch(zio, _scratch);
    }

    internal void GiveScratch(ZioWrite zio, byte* scratch)
    {
        if (!zio.ScratchIsPooled)
        {
            ZioBuf.Free(scratch, zio.LogicalSize);
            return;
        }

        _scratch!.Free(scratch);
        _mutex.Enter();
        WakeTurn();
        _mutex.Exit();
    }

    internal void FinishIo(ZioWrite zio, int error)
    {
        if (error != 0)
        {
            zio.Error = error;
        }

        if (Katomic.Decrement(ref zio.PendingIos) == 0)
        {
            Finish(zio);
        }
    }

    private static void Check(ZioWrite zio)
    {
        if (zio.Data == null || zio.LogicalSize is < 512 or > MaxBlock || (zio.LogicalSize & 511) != 0 || zio.Copies is < 1 or > 3 || zio.Txg == 0)
        {
            throw new ArgumentException($"write of {zio.LogicalSize} bytes, {zio.Copies} copies, txg {zio.Txg}", nameof(zio));
        }

        _ = ZioWritePrepare.Resolve(zio.ChecksumType);
        _ = ZioWritePrepare.Resolve(zio.Compress);
        if (zio.HasRewrite && zio.RewriteBp.Birth != zio.Txg)
        {
            throw new ArgumentException($"block born in txg {zio.RewriteBp.Birth} rewritten in {zio.Txg}", nameof(zio));
        }
    }

    private byte* WaitForScratch(ZioWrite zio, Mempool pool)
    {
        byte* scratch;
        _mutex.Enter();
        while (!ReferenceEquals(_head, zio) || (scratch = pool.Alloc(KmFlags.NoSleep)) == null)
        {
            _turnWaiters++;
            _turn.Wait(_mutex, _turnWait);
            _turnWaiters--;
        }

        _inTurn++;
        _mutex.Exit();
        pool.Disown();
        zio.ScratchIsPooled = true;
        return scratch;
    }

    // Under _mutex.
    private void WakeTurn()
    {
        if (_turnWaiters > 0)
        {
            _turn.Broadcast();
        }
    }

    private void WaitProgress()
    {
        _waiters++;
        _progress.Wait(_mutex, _progressWait);
        _waiters--;
    }

    // Waits until half of what may be in flight is done.
    private void MakeRoom()
    {
        _placing.Enter();
        PlaceReady();
        _placing.Exit();
        FlushQueues();
        _mutex.Enter();
        while (_inFlightBytes > _inFlightMax / 2 && _head is not { IsPrepared: true })
        {
            WaitProgress();
        }

        _mutex.Exit();
    }

    private void FlushQueues()
    {
        _placing.Enter();
        FlushLocked();
        _placing.Exit();
    }

    // Under _placing.
    private void FlushLocked()
    {
        foreach (VdevQueue? q in _queues)
        {
            q?.Flush();
        }
    }

    // Places prepared blocks from the head of the order list. Under _placing.
    private void PlaceReady()
    {
        while (true)
        {
            _mutex.Enter();
            ZioWrite? zio = _head is { IsPrepared: true } ? _head : null;
            if (zio is not null)
            {
                _head = zio.NextInOrder;
                _tail = _head is null ? null : _tail;
                zio.NextInOrder = null;
                WakeTurn();
            }

            _mutex.Exit();
            if (zio is null)
            {
                return;
            }

            Place(zio);
        }
    }

    private void Place(ZioWrite zio)
    {
        if (zio.BecameHole)
        {
            _holes++;
            zio.RewriteReplaced = zio.HasRewrite;
            zio.OnPlaced();
            Finish(zio);
            return;
        }

        Span<Dva> dvas = stackalloc Dva[3];
        dvas.Clear();
        if (!Locate(zio, dvas))
        {
            zio.Error = Errno.ENOSPC;
            zio.OnPlaced();
            Finish(zio);
            return;
        }

        _compressed += zio.StoredCompress != ZioCompressType.Off ? 1 : 0;
        zio.Bp = MakeBp(zio, dvas);
        zio.OnPlaced();
        byte* data = zio.Scratch != null ? zio.Scratch : zio.Data;
        bool pooled = zio.Scratch != null && zio.ScratchIsPooled;
        zio.PendingIos = zio.Copies;
        for (int i = 0; i < zio.Copies; i++)
        {
            _queues[dvas[i].Vdev]!.Add(dvas[i].Offset, data, zio.PhysicalSize, (int)dvas[i].Asize, zio);
        }

        if (pooled)
        {
            // Others wait for it.
            FlushLocked();
        }
    }

    // Takes over the place of the earlier version, or allocates.
    private bool Locate(ZioWrite zio, Span<Dva> dvas)
    {
        Blkptr old = zio.RewriteBp;
        if (zio.FitsInPlace)
        {
            for (int i = 0; i < zio.Copies; i++)
            {
                dvas[i] = old[i];
            }

            _inPlace++;
            return true;
        }

        if (!_allocator.TryAllocate(zio.PhysicalSize, zio.Copies, zio.Txg, dvas))
        {
            return false;
        }

        zio.RewriteReplaced = zio.HasRewrite;
        return true;
    }

    private static Blkptr MakeBp(ZioWrite zio, ReadOnlySpan<Dva> dvas) => new()
    {
        Dva0 = dvas[0],
        Dva1 = dvas[1],
        Dva2 = dvas[2],
        LogicalSize = zio.LogicalSize,
        PhysicalSize = zio.PhysicalSize,
        Compress = zio.StoredCompress,
        ChecksumType = ZioWritePrepare.Resolve(zio.ChecksumType),
        Type = zio.Type,
        Level = zio.Level,
        IsLittleEndian = true,
        Birth = zio.Txg,
        Fill = zio.Fill,
        Checksum = zio.Checksum,
    };

    private void Finish(ZioWrite zio)
    {
        if (zio.Scratch != null)
        {
            GiveScratch(zio, zio.Scratch);
            zio.Scratch = null;
        }

        int bytes = zio.LogicalSize;
        int error = zio.Error;
        if (zio.DirtyBytes > 0)
        {
            UndirtySpace?.Invoke(zio.DirtyBytes, zio.Txg);
        }

        zio.OnDone();
        _mutex.Enter();
        _inFlightBytes -= bytes;
        _outstanding--;
        _firstError = _firstError != 0 ? _firstError : error;
        if (_waiters > 0 && (_outstanding == 0 || _inFlightBytes <= _inFlightMax / 2))
        {
            _progress.Broadcast();
        }

        _mutex.Exit();
    }
}
