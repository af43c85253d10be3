using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>Who writes the log, and who waits for it: zil_commit.</summary>
internal sealed unsafe partial class Zilog
{
    private const long GatherNsMax = 200_000;

    private static readonly IdleWait s_gather = new("other commits to share a write of the intent log");

    private readonly Kcondvar _gathered = new("zl_cv_gather");
    private long _expected;
    private long _writeNs;
    private bool _gathering;
    private long _requested;
    private long _completed;
    private bool _writing;
    private bool _writerStays;
    private bool _hasHeir;
    private int _sleepers;
    private int _batchError;
    private FsyncWaiter? _firstWaiter;
    private FsyncWaiter? _lastWaiter;

    /// <summary>
    /// What was done to the object before the call, and all changes of names, are on stable storage afterwards. Not inside a
    /// transaction, not under a lock of the ZPL.
    /// </summary>
    /// <param name="obj">The object.</param>
    /// <param name="waiter">Who may be told later, so that no thread sleeps for it; null: the caller waits.</param>
    /// <returns>0 or EIO; EINPROGRESS: the waiter has left the caller's hands, and was told or will be.</returns>
    internal int Commit(ulong obj, FsyncWaiter? waiter = null)
    {
        bool leaves = waiter is not null && waiter.TryLeave();
        _lock.Enter();
        _stats.Commits++;
        PromoteLocked(obj);
        long request = ++_requested;
        if (_gathering && _requested - _completed >= _expected)
        {
            _gathered.Signal();
        }

        int result = Errno.EINPROGRESS;
        if (leaves)
        {
            Add(waiter!, request);
            WriteForWaiters();
        }
        else
        {
            result = WaitFor(request);
        }

        _lock.Exit();
        return result;
    }

    /// <summary>Writes, or waits for who does. Lock held.</summary>
    private int WaitFor(long request)
    {
        while (_completed < request)
        {
            if (_writing)
            {
                Sleep();
                continue;
            }

            BeginWriting(stays: false);
            WriteOnce();
            EndWriting();
        }

        return _spa.HasFailed ? Errno.EIO : _batchError;
    }

    /// <summary>
    /// Sees to it that somebody writes for those who left. Lock held, and let go in between. A writer who stays does; one who came for itself
    /// does not after its own write, so the first who comes meanwhile stays to succeed it.
    /// </summary>
    private void WriteForWaiters()
    {
        if (_writing && !_writerStays && !_hasHeir)
        {
            _hasHeir = true;
            while (_writing && !_writerStays)
            {
                Sleep();
            }

            _hasHeir = false;
        }

        if (_writing || _firstWaiter is null)
        {
            return;
        }

        BeginWriting(stays: true);
        while (_firstWaiter is not null)
        {
            WriteOnce();
        }

        EndWriting();
    }

    private void Sleep()
    {
        _sleepers++;
        _done.Wait(_lock, _commitWait);
        _sleepers--;
    }

    private void WakeSleepers()
    {
        if (_sleepers > 0)
        {
            _done.Broadcast();
        }
    }

    private void BeginWriting(bool stays)
    {
        _writing = true;
        _writerStays = stays;
        _commitWait.Writer = Kthread.Current;
    }

    private void EndWriting()
    {
        _writing = false;
        _commitWait.Writer = null;
        WakeSleepers();
    }

    /// <summary>Writes for all who have asked by now, and tells them. By who is writing; lock held, and let go in between.</summary>
    private void WriteOnce()
    {
        Gather();
        long before = _completed;
        long started = Kclock.NowNs;
        long upTo = _requested;
        Itx* batch = TakeBatch(out ulong mustSync);
        _lock.Exit();
        int error = WriteBatch(batch, mustSync);
        _lock.Enter();
        _batchError = error;
        _completed = upTo;
        _expected = (upTo - before) + (_requested - upTo);
        _writeNs = Kclock.NowNs - started;
        FsyncWaiter? told = TakeWaiters(upTo);
        if (told is not null)
        {
            WakeSleepers();
            _lock.Exit();
            Tell(told, error);
            _lock.Enter();
        }
    }

    private static void Tell(FsyncWaiter? waiter, int error)
    {
        while (waiter is not null)
        {
            FsyncWaiter? next = waiter.NextWaiter;
            waiter.NextWaiter = null;
            waiter.Done(error);
            waiter = next;
        }
    }

    private void Add(FsyncWaiter waiter, long request)
    {
        waiter.Request = request;
        if (_lastWaiter is null)
        {
            _firstWaiter = waiter;
        }
        else
        {
            _lastWaiter.NextWaiter = waiter;
        }

        _lastWaiter = waiter;
    }

    /// <summary>Those whose request is done, oldest first, taken off the queue.</summary>
    private FsyncWaiter? TakeWaiters(long upTo)
    {
        FsyncWaiter? first = _firstWaiter;
        FsyncWaiter? last = null;
        for (FsyncWaiter? at = first; at is not null && at.Request <= upTo; at = at.NextWaiter)
        {
            last = at;
        }

        if (last is null)
        {
            return null;
        }

        _firstWaiter = last.NextWaiter;
        _lastWaiter = _firstWaiter is null ? null : _lastWaiter;
        last.NextWaiter = null;
        return first;
    }

    /// <summary>
    /// As many as were here during the last write will probably come again: they are waited for, at most half as long as that write took.
    /// Lock held.
    /// </summary>
    private void Gather()
    {
        if (_requested - _completed >= _expected)
        {
            return;
        }

        long deadline = Kclock.NowNs + Math.Min(_writeNs / 2, GatherNsMax);
        _gathering = true;
        while (_requested - _completed < _expected && _gathered.WaitUntil(_lock, deadline, s_gather))
        {
        }

        _gathering = false;
    }
}
