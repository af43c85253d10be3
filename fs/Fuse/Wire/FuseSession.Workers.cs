using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The life of the workers: started as needed. All that are free read: having spare ones stand by outside the kernel
/// was tried and made creates slower (4,100 against 7,100 files/s with at most 2 and with 16 readers), since waking one costs more.
/// </summary>
public sealed unsafe partial class FuseSession
{
    private void AddWorker()
    {
        var worker = new Worker();
        _workers.Add(worker);
        Katomic.Increment(ref _live);
        worker.Thread = Kthread.Start($"fuse/{_workers.Count - 1}", () => Work(worker));
    }

    private void Work(Worker worker)
    {
        // The kernel may be waiting for this thread to clean its pages: marked for life under policy fstrans.
        Kthread.Current.Flags |= Fstrans.WorkerFlags;
        _transport.EnterWorker();
        try
        {
            worker.Request = NewRequest();
            Fill(worker.Request);
            while (Serve(worker))
            {
            }
        }
        finally
        {
            _transport.LeaveWorker();
            if (worker.Request is { } request)
            {
                Release(request);
            }

            _mutex.Enter();
            Katomic.Decrement(ref _live);
            _changed.Broadcast();
            _mutex.Exit();
        }
    }

    private void GrowIfNeeded()
    {
        _mutex.Enter();
        if (_workers.Count < _options.MaxWorkers && !_transport.IsStopping && Katomic.Load(ref _idle) == 0)
        {
            AddWorker();
        }

        _mutex.Exit();
    }
}
