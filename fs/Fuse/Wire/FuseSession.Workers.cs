using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>The life of the workers: started as needed, reading in turn, standing by while enough others read.</summary>
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
            while (StandBy() && Serve(worker))
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
            _over = true;
            _spareWanted.Broadcast();
            _changed.Broadcast();
            _mutex.Exit();
        }
    }

    /// <summary>
    /// Waits while enough others read: the kernel wakes its readers in turn, and few that are warm serve faster than many that
    /// are cold. False when the session is over.
    /// </summary>
    private bool StandBy()
    {
        if (Katomic.Load(ref _idle) < IdleReadersMax)
        {
            return true;
        }

        _mutex.Enter();
        _spares++;
        while (_wanted == 0 && !_over && Katomic.Load(ref _idle) >= IdleReadersMax)
        {
            _spareWanted.Wait(_mutex, s_spareWait);
        }

        _spares--;
        _wanted = Math.Max(0, _wanted - 1);
        bool go = !_over;
        _mutex.Exit();
        return go;
    }

    private void GrowIfNeeded()
    {
        _mutex.Enter();
        if (_spares > _wanted)
        {
            _wanted++;
            _spareWanted.Signal();
        }
        else if (_workers.Count < _options.MaxWorkers && !_transport.IsStopping && Katomic.Load(ref _idle) == 0)
        {
            AddWorker();
        }

        _mutex.Exit();
    }
}
