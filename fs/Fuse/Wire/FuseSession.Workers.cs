using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The life of the workers: started as needed, so that there is always one that could read when another blocks
/// (<see cref="FuseTurns"/>).
/// </summary>
public sealed unsafe partial class FuseSession
{
    private void AddWorker()
    {
        var worker = new Worker();
        _workers.Add(worker);
        Katomic.Increment(ref _live);
        _turns.Expect();
        worker.Thread = Kthread.Start($"fuse/{_workers.Count - 1}", () => Work(worker));
    }

    private void Work(Worker worker)
    {
        // The kernel may be waiting for this thread to clean its pages: marked for life under policy fstrans.
        Kthread.Current.Flags |= Fstrans.WorkerFlags;
        Kthread.Current.BeforeBlock = () => GiveTurnWhileHandling(worker);
        _transport.EnterWorker();
        try
        {
            worker.Request = NewRequest(KmFlags.Sleep)!;
            Fill(worker.Request);
            TakeTurn(worker, expected: true);
            while (Serve(worker))
            {
            }
        }
        finally
        {
            _transport.LeaveWorker();
            GiveTurn(worker);
            Kthread.Current.BeforeBlock = null;
            if (worker.Request is { } request)
            {
                Release(request);
            }

            _mutex.Enter();
            Katomic.Decrement(ref _live);
            _changed.Broadcast();
            _apartWork.Signal();
            _mutex.Exit();
        }
    }

    private void TakeTurn(Worker worker, bool expected)
    {
        _turns.Take(expected);
        worker.HasTurn = true;
    }

    private void GiveTurn(Worker worker)
    {
        if (worker.HasTurn)
        {
            worker.HasTurn = false;
            _turns.Give();
        }
    }

    private void GiveTurnWhileHandling(Worker worker)
    {
        if (worker.Handling)
        {
            GiveTurn(worker);
        }
    }

    private void GrowIfNeeded()
    {
        _mutex.Enter();
        if (_workers.Count < _options.MaxWorkers && !_transport.IsStopping && _turns.Followers == 0)
        {
            AddWorker();
        }

        _mutex.Exit();
    }
}
