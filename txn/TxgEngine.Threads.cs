using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <content>The quiesce and sync threads. Both carry the worker's mark for life and never wait for a txg.</content>
public sealed partial class TxgEngine
{
    private static void MarkWorker() => Kthread.Current.Flags |= ThreadFlags.SyncPath | Fstrans.WorkerFlags;

    private bool IsTouched(long txg)
    {
        if (_throttle.TxgBytes(txg) > 0)
        {
            return true;
        }

        foreach (TxgCpu c in _cpus)
        {
            if (Katomic.Load(ref c.Touched[txg & TxgMask]) != 0)
            {
                return true;
            }
        }

        return false;
    }

    private void QuiesceThread()
    {
        MarkWorker();
        _syncLock.Enter();
        while (true)
        {
            while (!_exiting && (_openTxg >= _quiesceWaiting || _quiescedTxg != 0))
            {
                _quiesceMore.Wait(_syncLock, _quiesceMoreWait);
            }

            if (_exiting)
            {
                break;
            }

            long txg = _openTxg;
            _quiescingTxg = txg;
            _syncLock.Exit();
            Quiesce(txg);
            _syncLock.Enter();
            _quiescingTxg = 0;
            Katomic.Store(ref _quiescedTxg, txg);
            _history.Enter(txg, TxgState.Quiesced);
            _quiesceDone.Broadcast();
            _syncMore.Broadcast();
        }

        _syncLock.Exit();
    }

    private void Quiesce(long txg)
    {
        foreach (TxgCpu c in _cpus)
        {
            c.OpenLock.Enter();
        }

        _history.Enter(txg, TxgState.Quiescing);
        _history.Enter(txg + 1, TxgState.Open);
        Katomic.Store(ref _openTxg, txg + 1);
        for (int i = _cpus.Length - 1; i >= 0; i--)
        {
            _cpus[i].OpenLock.Exit();
        }

        _syncLock.Enter();
        _opened.Broadcast();
        _syncLock.Exit();

        long slot = txg & TxgMask;
        _holdersWait.Txg = txg;
        foreach (TxgCpu c in _cpus)
        {
            c.Lock.Enter();
            while (c.Count[slot] != 0)
            {
                c.Drained[slot].Wait(c.Lock, _holdersWait);
            }

            c.Lock.Exit();
        }
    }

    private void SyncThread()
    {
        MarkWorker();
        _syncLock.Enter();
        while (true)
        {
            WaitForSyncReason();
            while (!_exiting && _quiescedTxg == 0)
            {
                _quiesceWaiting = Math.Max(_quiesceWaiting, _openTxg + 1);
                _quiesceMore.Broadcast();
                _quiesceDone.Wait(_syncLock, _quiesceDoneWait);
            }

            if (_exiting)
            {
                break;
            }

            long txg = _quiescedTxg;
            Katomic.Store(ref _syncingTxg, txg);
            Katomic.Store(ref _quiescedTxg, 0);
            _history.Enter(txg, TxgState.Syncing);
            _quiesceMore.Broadcast();
            _syncLock.Exit();
            SyncOne(txg);
            _syncLock.Enter();
            Katomic.Store(ref _syncedTxg, txg);
            _history.Enter(txg, TxgState.Committed);
            _syncDone.Broadcast();
        }

        _syncLock.Exit();
    }

    /// <summary>Phase one of the sync thread, with tx_sync_lock held: sleeps until there is a reason to push a txg out.</summary>
    private void WaitForSyncReason()
    {
        while (!_exiting && _quiescedTxg == 0 && _syncWaiting <= _syncedTxg)
        {
            if (!IsTouched(_openTxg))
            {
                Katomic.Exchange(ref _syncIdle, 1);
                if (!IsTouched(_openTxg))
                {
                    _syncMore.Wait(_syncLock, _syncIdleWait);
                }

                Katomic.Exchange(ref _syncIdle, 0);
                continue;
            }

            if (_kickTxg >= _openTxg)
            {
                return;
            }

            long now = Kclock.NowNs;
            if (_deadlineTxg != _openTxg)
            {
                _deadlineTxg = _openTxg;
                _deadlineNs = now + Options.TimeoutNs;
            }

            if (now >= _deadlineNs)
            {
                return;
            }

            _syncMore.WaitUntil(_syncLock, _deadlineNs, _syncIdleWait);
        }
    }

    private void SyncOne(long txg)
    {
        long slot = txg & TxgMask;
        foreach (TxgCpu c in _cpus)
        {
            c.Lock.Enter();
            int held = c.Count[slot];
            c.Lock.Exit();
            if (held != 0)
            {
                throw new InvalidOperationException($"txg {txg} is about to be written and is held {held} times");
            }
        }

        Host.SyncTxg((ulong)txg);
        foreach (TxgCpu c in _cpus)
        {
            Katomic.Store(ref c.Touched[slot], 0);
        }

        _history.SetDirty(txg, _throttle.Finish(txg));
    }
}
