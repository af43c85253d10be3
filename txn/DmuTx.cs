using System.Runtime.CompilerServices;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>
/// A DMU transaction: Create, Hold…, Assign, change, Commit; or Abort if it was not assigned. One thread does all of it.
/// </summary>
/// <remarks>
/// Under policy txcookie Assign marks the thread and Commit or Abort takes the mark back, as first proposed in 2014. The
/// mark is counted per thread, so that assigning twice, aborting a transaction that never got that far, and ending two
/// transactions in any order are all harmless; the first proposal failed in each of these.
/// </remarks>
public sealed class DmuTx
{
    // "Open tx" as a class of locks: an assignment that may wait is an acquisition.
    internal static readonly LockClass OpenTxClass = LockOrder.Class("open tx");

    private readonly TxThreadState _owner;
    private TxHoldable?[] _holds = new TxHoldable?[8];
    private int _holdCount;
    private Phase _phase;
    private int _cpu;
    private long _space;
    private long _promised;
    private bool _netFree;
    private long _startNs;
    private bool _waitDirty;
    private bool _dirtyDelayed;
    private TxHoldable? _waitHold;
    private long _lastTriedTxg;
    private bool _marked;

    internal DmuTx(TxThreadState owner) => _owner = owner;

    private enum Phase
    {
        Dead,
        Created,
        Assigned,
        Syncing,
    }

    /// <summary>The transaction group it was assigned to; 0 before.</summary>
    public ulong Txg { get; private set; }

    /// <summary>True for the transaction under which the sync thread itself changes the MOS.</summary>
    public bool IsSyncing => _phase == Phase.Syncing;

    /// <summary>The flags for allocations made inside this transaction: others wait for it, so it may use the reserve.</summary>
    public KmFlags AllocFlags => _phase switch
    {
        Phase.Syncing => KmFlags.PushPage,
        Phase.Assigned when AsksForReserve(Engine!.Policy) => KmFlags.PushPage,
        _ => KmFlags.Sleep,
    };

    /// <summary>As <see cref="AllocFlags"/>, for code that has no transaction at hand: what the calling thread holds decides.</summary>
    public static KmFlags CurrentAllocFlags
    {
        get
        {
            Kthread self = Kthread.Current;
            bool waitedFor = (self.Flags & ThreadFlags.SyncPath) != 0
                || (self.TxState is TxThreadState { AssignedCount: > 0 } && AsksForReserve(KmemSystem.Current.Policy));
            return waitedFor ? KmFlags.PushPage : KmFlags.Sleep;
        }
    }

    /// <summary>Do allocations inside a transaction say KM_PUSHPAGE? In 2012 by hand, to keep out of the file system; under fstrans
    /// for the reserve alone. In between the mark of the transaction was to see to it.</summary>
    private static bool AsksForReserve(KmemPolicy policy) =>
        policy is KmemPolicy.PushPage or KmemPolicy.Emergency or KmemPolicy.Fstrans;

    /// <summary>Next in the owner's free list.</summary>
    internal DmuTx? NextFree { get; set; }

    internal TxgEngine? Engine { get; private set; }

    /// <summary>Makes a transaction. Objects are pooled: after Commit or Abort the reference is dead.</summary>
    public static DmuTx Create(TxgEngine engine)
    {
        ArgumentNullException.ThrowIfNull(engine);
        TxThreadState owner = TxThreadState.Current;
        DmuTx tx = owner.Take();
        tx.Engine = engine;
        tx._phase = Phase.Created;
        tx._startNs = Kclock.NowNs;
        return tx;
    }

    /// <summary>The sync thread's transaction of the syncing txg. Never assigned, committed or aborted.</summary>
    public static DmuTx CreateSyncing(TxgEngine engine, ulong txg) =>
        new(TxThreadState.Current) { Engine = engine, Txg = txg, _phase = Phase.Syncing };

    /// <summary>Adds to the worst case of new space, bytes (negative: frees).</summary>
    public void HoldSpace(long bytes)
    {
        Require(Phase.Created);
        _space = checked(_space + bytes);
    }

    /// <summary>Marks the transaction as one that frees more than it takes: it may use the slop reserve.</summary>
    public void MarkNetFree()
    {
        Require(Phase.Created);
        _netFree = true;
    }

    /// <summary>Adds a dnode that will be changed. A second hold of the same one is ignored.</summary>
    public void Hold(TxHoldable target)
    {
        ArgumentNullException.ThrowIfNull(target);
        Require(Phase.Created);
        for (int i = 0; i < _holdCount; i++)
        {
            if (ReferenceEquals(_holds[i], target))
            {
                return;
            }
        }

        if (_holdCount == _holds.Length)
        {
            Array.Resize(ref _holds, _holdCount * 2);
        }

        _holds[_holdCount++] = target;
    }

    /// <summary>Assigns the transaction to the open txg. Returns 0, ERESTART (NoWait only), ENOSPC, EDQUOT or EIO.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)] // A stack in a report shall name it.
    public int Assign(TxAssign how)
    {
        Require(Phase.Created);
        bool wait = (how & TxAssign.Wait) != 0;
        if (wait)
        {
            RequireMayAssign();
            LockOrder.TouchPseudo(OpenTxClass);
        }

        if (Engine!.Policy == KmemPolicy.TxCookie && !_marked)
        {
            _marked = true;
            _owner.MarkCookie();
        }

        while (true)
        {
            int error = TryAssign(how);
            if (error == 0)
            {
                if (wait)
                {
                    LockOrder.AcquirePseudo(OpenTxClass);
                }
                else
                {
                    LockOrder.AcquirePseudoByTry(OpenTxClass);
                }

                Engine.AfterAssign?.Invoke();
            }

            if (error != TxErrno.ERESTART || !wait)
            {
                return error;
            }

            WaitForRetry();
        }
    }

    /// <summary>After ERESTART: waits until another try makes sense. The transaction stays unassigned.</summary>
    public void Wait()
    {
        Require(Phase.Created);
        RequireMayAssign();
        LockOrder.TouchPseudo(OpenTxClass);
        WaitForRetry();
    }

    /// <summary>Ends an assigned transaction.</summary>
    public void Commit()
    {
        Require(Phase.Assigned);
        long txg = (long)Txg;
        ReleaseSpace();
        ReleaseHolds(_holdCount, txg);
        _owner.Pop(this);
        LockOrder.ReleasePseudo(OpenTxClass);
        Engine!.ReleaseToSync(_cpu, txg, touched: true);
        Die();
    }

    /// <summary>Drops a transaction that was not assigned.</summary>
    public void Abort()
    {
        Require(Phase.Created);
        Die();
    }

    /// <summary>Does this transaction hold the object? Racy, for reports.</summary>
    internal bool IsHolding(TxHoldable target)
    {
        TxHoldable?[] holds = _holds;
        int n = Math.Min(_holdCount, holds.Length);
        for (int i = 0; i < n; i++)
        {
            if (ReferenceEquals(holds[i], target))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>One attempt. On ERESTART nothing is held, and the wait fields say what to wait for.</summary>
    private int TryAssign(TxAssign how)
    {
        TxgEngine engine = Engine!;
        _waitDirty = false;
        _waitHold = null;
        if ((how & TxAssign.NoThrottle) == 0 && !_dirtyDelayed && engine.Throttle.NeedsDelay)
        {
            _waitDirty = true;
            return TxErrno.ERESTART;
        }

        // The promise is made with the txg held: who has to wait for it then waits for this transaction, through the txg.
        _cpu = _owner.Thread.Cpu;
        long txg = engine.HoldOpen(_cpu);
        _lastTriedTxg = txg;
        int error = engine.Host.CheckSpace(_holds[0], _space, _netFree, out _promised);
        if (error != 0)
        {
            Unhold(txg);
            if (error == TxErrno.ERESTART)
            {
                engine.CountSpaceRestart();
            }

            return error;
        }

        for (int i = 0; i < _holdCount; i++)
        {
            TxHoldable target = _holds[i]!;
            if (!target.TryJoin(txg))
            {
                _waitHold = target;
                ReleaseSpace();
                ReleaseHolds(i, txg);
                Unhold(txg);
                engine.CountHoldRestart();
                return TxErrno.ERESTART;
            }
        }

        Txg = (ulong)txg;
        _phase = Phase.Assigned;
        _owner.Push(this);
        engine.ReleaseToQuiesce(_cpu);
        return 0;
    }

    /// <summary>Lets go of a txg in which nothing was done.</summary>
    private void Unhold(long txg)
    {
        Engine!.ReleaseToQuiesce(_cpu);
        Engine.ReleaseToSync(_cpu, txg, touched: false);
    }

    private void WaitForRetry()
    {
        TxgEngine engine = Engine!;
        if (_waitDirty)
        {
            engine.Throttle.WaitAndDelay(_startNs);
            _waitDirty = false;
            _dirtyDelayed = true;
        }
        else if (_waitHold is { } target)
        {
            _waitHold = null;
            target.WaitReleased(_lastTriedTxg - 1);
        }
        else if (_lastTriedTxg != 0)
        {
            engine.WaitOpen((ulong)_lastTriedTxg + 1);
        }
    }

    private void ReleaseSpace()
    {
        if (_promised != 0)
        {
            Engine!.Host.ReleaseSpace(_holds[0]!, _promised);
            _promised = 0;
        }
    }

    private void ReleaseHolds(int count, long txg)
    {
        for (int i = count - 1; i >= 0; i--)
        {
            _holds[i]!.Leave(txg);
        }
    }

    /// <summary>A wait for a txg is refused where it could wait for itself.</summary>
    private void RequireMayAssign()
    {
        Engine!.RequireMayWait();
        if (Engine.Policy == KmemPolicy.Fstrans && _owner.HasAssigned(Engine))
        {
            throw new InvalidOperationException($"{_owner.Thread} holds a transaction and asks for another one that may wait");
        }
    }

    private void Require(Phase phase)
    {
        if (_phase != phase)
        {
            throw new InvalidOperationException($"transaction is {_phase}, not {phase}");
        }

        if (!ReferenceEquals(_owner.Thread, Kthread.Current))
        {
            throw new InvalidOperationException($"transaction of {_owner.Thread} used by {Kthread.Current}");
        }
    }

    private void Die()
    {
        bool marked = _marked;
        _phase = Phase.Dead;
        Engine = null;
        Txg = 0;
        Array.Clear(_holds, 0, _holdCount);
        _holdCount = 0;
        _space = 0;
        _netFree = false;
        _waitDirty = false;
        _dirtyDelayed = false;
        _waitHold = null;
        _lastTriedTxg = 0;
        _marked = false;
        TxThreadState owner = _owner;
        owner.Give(this);
        if (marked)
        {
            owner.UnmarkCookie();
        }
    }
}
