using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Requests that are answered apart, by a thread that is no worker, one after the other: before they can be answered the kernel has
/// to send WRITEs, so they may hold neither a worker nor a place. Their messages are short and wait in a ring; when that is full
/// the next ones are handled as if there was no <see cref="PageFlusher"/>.
/// </summary>
public sealed unsafe partial class FuseSession
{
    private const int ApartMax = 64;

    private static readonly IdleWait s_apart = new("request that needs pages");

    private readonly byte[] _apart = new byte[ApartMax * FuseRequest.SplitBytes];
    private readonly Kcondvar _apartWork = new("fuse_session apart");
    private readonly Worker _apartWorker = new();
    private int _apartHead;
    private int _apartCount;

    /// <summary>Gets pages from the kernel; null: nobody can. To be set before <see cref="Start"/>.</summary>
    public IFusePageFlusher? PageFlusher { get; set; }

    internal bool FlushPages(FuseRequest request, ulong generation) =>
        request.IsApart && !_transport.IsStopping && PageFlusher!.Flush(request.Header->NodeId, generation);

    /// <summary>Takes the request over. False if it can't, and the caller must handle it.</summary>
    private bool TakeApart(FuseRequest request)
    {
        if (PageFlusher is null || _minor < KernelPageFlusher.OldestMinor || request.Length > FuseRequest.SplitBytes)
        {
            return false;
        }

        _mutex.Enter();
        bool taken = _apartCount < ApartMax;
        if (taken)
        {
            int slot = (_apartHead + _apartCount) % ApartMax;
            new ReadOnlySpan<byte>(request.Head, request.Length).CopyTo(_apart.AsSpan(slot * FuseRequest.SplitBytes));
            _apartCount++;
            if (_apartWorker.Thread is null)
            {
                Katomic.Increment(ref _live);
                _apartWorker.Thread = Kthread.Start("fuse/apart", WorkApart);
            }

            _apartWork.Signal();
        }

        _mutex.Exit();
        if (taken)
        {
            request.NoReply();
        }

        return taken;
    }

    /// <summary>Lives until no worker does.</summary>
    private void WorkApart()
    {
        Kthread.Current.Flags |= Fstrans.WorkerFlags;
        FuseRequest request = NewRequest(KmFlags.Sleep)!;
        request.IsApart = true;
        _mutex.Enter();
        while (true)
        {
            while (_apartCount == 0 && Katomic.Load(ref _live) > 1)
            {
                _apartWork.Wait(_mutex, s_apart);
            }

            if (_apartCount == 0)
            {
                break;
            }

            ReadOnlySpan<byte> message = _apart.AsSpan(_apartHead * FuseRequest.SplitBytes, FuseRequest.SplitBytes);
            message.CopyTo(new Span<byte>(request.Head, FuseRequest.SplitBytes));
            _apartHead = (_apartHead + 1) % ApartMax;
            _apartCount--;
            _mutex.Exit();
            request.Accept((int)request.Header->Length);
            Run(_apartWorker, request);
            _mutex.Enter();
        }

        _mutex.Exit();
        request.IsApart = false;
        Release(request);
        _mutex.Enter();
        Katomic.Decrement(ref _live);
        _changed.Broadcast();
        _mutex.Exit();
    }
}
