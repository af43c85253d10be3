using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// The intent log of a file system (zilog_t): what makes fsync faster than the writing of a txg.
/// </summary>
/// <remarks>
/// <para>Every change is described, inside its transaction, by an itx in memory: small records of names and attributes; of writes only
/// where they were. A commit writes the records that its object needs into a chain of log blocks, flushes the devices, and
/// returns. When the txg of a record is on disk the record is worth nothing any more: its memory goes, and so does the log
/// block when all its records are that old. After a crash the chain is read again: what the last uberblock lacks is done again (ZilReplay).</para>
/// <para>The order of records. Names (create, remove, link, rename) are one sequence, written by every commit. Contents and attributes
/// are a sequence per object, and join the other when that object is committed, or renamed: so a file that was written and renamed is never found
/// renamed and empty. Records of an object that is gone are passed over in replay.</para>
/// <para>The chain. A block holds the pointer of the next one, which is allocated before it is written; so the last block is always one
/// that was never written. A commit needs one write through; with more blocks or data in their places, writes and a flush. The first block hangs on the head in the object set's block, so
/// the first commit after a mount waits for a txg. A block is freed by the sync thread (Sync), with the head moved in the same txg.</para>
/// <para>Group commit. One committer at a time writes, for all who asked by then. Who comes meanwhile leaves its request (an FSYNC of the
/// kernel's, <see cref="FsyncWaiter"/>) or waits. A writer that may stay goes on while there are requests that were left; any other does its own
/// write, and the first who came meanwhile goes on. So there is always somebody who writes for what was left. Those who were here
/// during the last write are waited for, for half its time at most.</para>
/// <para>Whatever can't be logged is synced. An operation without a record form, no memory for an itx (they take at most a sixteenth of the arena, and
/// never wait for it), no space or an error for a log block, data of a file that has left memory, more data than it pays to write twice: then
/// the commit waits for the txg, which is always right. After an error the chain is given up and a new one begun: a block that failed may be
/// on disk or not, and what it tells of has happened, so until the head has moved a replay is right with it and without it. Nothing is
/// written behind it. A log device that fails is not used any more (SpaLogFaults).</para>
/// <para>Memory of a commit: one block of 128 KiB, from a pool of its own. It never waits for reclaim.</para>
/// <para>Locks: z_lock → zl_lock, a leaf: nothing is allocated or waited for under it. Who writes (the flag <c>_writing</c>) takes range
/// locks for reading, opens transactions (never with a range lock held) and waits for txgs; so nobody may commit with a lock of the
/// ZPL or inside a transaction, and the sync path never waits for a commit.</para>
/// </remarks>
internal sealed unsafe partial class Zilog
{
    private const int BytesShare = 16;

    private readonly Objset _os;
    private readonly Spa _spa;
    private readonly TxgEngine _txg;
    private readonly Zfsvfs _fs;
    private readonly Kmutex _lock = new("zl_lock");
    private readonly Kcondvar _done = new("zl_cv_batch");
    private readonly ItxGroup[] _groups = [new(), new(), new(), new()];
    private readonly ulong[] _replayed = new ulong[TxgEngine.TxgSize];
    private readonly KmemCache _lwbs = KmemCache.Create("zil_lwb_cache", sizeof(Lwb));
    private readonly Mempool? _buffers;
    private readonly long _bytesMax;
    private readonly ZilCommitWait _commitWait = new();
    private long _bytes;

    // The chain, oldest first; the last one is not written yet.
    private Lwb* _head;
    private Lwb* _tail;
    private int _blocks;
    private ulong _dropTxg;
    private List<Blkptr>? _dropAlso;
    private ulong _seq;
    private ZilogStats _stats;

    internal Zilog(Objset os, Zfsvfs fs)
    {
        _os = os;
        _spa = os.Spa;
        _txg = os.Txg;
        _fs = fs;
        _bytesMax = KmemSystem.Current.ArenaBytes / BytesShare;
        _buffers = SyncPool.InForce ? Mempool.OfCache("zil_buf", ZioBuf.CacheFor(ZilBlock.MaxSize), 1) : null;
    }

    /// <summary>The sequence number of the record that is being replayed; 0: none, changes are logged.</summary>
    internal ulong ReplayingSeq { get; set; }

    /// <summary>What has to be logged at all.</summary>
    internal SyncMode Mode { get; set; }

    /// <summary>Where data go.</summary>
    internal LogBias Bias { get; set; }

    /// <summary>Counters.</summary>
    internal ZilogStats Stats
    {
        get
        {
            _lock.Enter();
            ZilogStats s = _stats;
            s.Blocks = _blocks;
            s.ItxBytes = _bytes;
            _lock.Exit();
            return s;
        }
    }

    /// <summary>Gives the memory back. The chain has been dropped.</summary>
    internal void Dispose()
    {
        foreach (ItxGroup g in _groups)
        {
            FreeList(g.TakeAll());
        }

        while (_head is not null)
        {
            Lwb* next = _head->Next;
            _lwbs.Free((byte*)_head);
            _head = next;
        }

        _buffers?.Destroy();
        _lwbs.Destroy();
    }

    /// <summary>
    /// In the sync thread, before the object set's block is written: notes what was replayed, frees the blocks whose records are all
    /// in this txg or older ones, and moves the head.
    /// </summary>
    internal void Sync(DmuTx tx, ZilHeader* header)
    {
        int slot = TxgSlots<int>.Index(tx.Txg);
        Lwb* free = null;
        List<Blkptr>? also = null;
        _lock.Enter();
        if (_replayed[slot] != 0)
        {
            header->ReplaySeq = _replayed[slot];
            _replayed[slot] = 0;
        }

        bool drop = _dropTxg != 0 && tx.Txg >= _dropTxg;
        while (_head is not null && (drop || (_head->Written != 0 && _head->MaxTxg <= tx.Txg)))
        {
            Lwb* old = _head;
            _head = old->Next;
            old->Next = free;
            free = old;
            _blocks--;
        }

        if (drop)
        {
            _dropTxg = 0;
            _tail = null;
            also = _dropAlso;
            _dropAlso = null;
            *header = default;
        }

        if (_head is not null)
        {
            header->Log = _head->Bp;
        }

        _lock.Exit();
        while (free is not null)
        {
            Lwb* next = free->Next;
            _spa.FreeBlock(free->Bp, tx.Txg);
            _lwbs.Free((byte*)free);
            free = next;
        }

        foreach (Blkptr bp in also ?? [])
        {
            _spa.FreeBlock(bp, tx.Txg);
        }
    }

    /// <summary>In the sync thread, when a txg is on disk: its records are worth nothing any more.</summary>
    internal void Clean(ulong txg)
    {
        ItxGroup group = _groups[TxgSlots<int>.Index(txg)];
        _lock.Enter();
        Itx* list = group.Txg == txg ? group.TakeAll() : null;
        _lock.Exit();
        FreeList(list);
    }

    /// <summary>
    /// Gives the chain up: everything is synced, the head becomes empty, the blocks (and <paramref name="also"/> others) are freed. No commit may
    /// be running but the caller's. 0 or an errno.
    /// </summary>
    internal int Drop(List<Blkptr>? also = null)
    {
        DmuTx tx = DmuTx.Create(_txg);
        tx.MarkNetFree();
        int error = tx.Assign(TxAssign.Wait | TxAssign.NoThrottle);
        if (error != 0)
        {
            tx.Abort();
            return error;
        }

        ulong txg = tx.Txg;
        _lock.Enter();
        _dropTxg = _dropTxg != 0 ? _dropTxg : txg;
        _dropAlso = also;
        _lock.Exit();
        _spa.AddDirtyObjset(_os, txg);
        tx.Commit();
        _txg.WaitSynced(txg);
        return _spa.HasFailed ? Errno.EIO : 0;
    }

    /// <summary>Gives the chain up between two commits, while the file system is in use: the next one is begun where blocks are given out then. 0 or
    /// an errno.</summary>
    internal int Restart()
    {
        _lock.Enter();
        while (_writing)
        {
            _done.Wait(_lock, _commitWait);
        }

        _writing = true;
        _commitWait.Writer = Kthread.Current;
        _lock.Exit();
        int error = Drop();
        _lock.Enter();
        _writing = false;
        _commitWait.Writer = null;
        _done.Broadcast();
        _lock.Exit();
        return error;
    }

    /// <summary>Counts records that were done again.</summary>
    internal void NoteReplayed(long records) => _stats.Replayed = records;

    /// <summary>At unmount, when nothing runs any more: everything is synced and the log left empty.</summary>
    internal void Close()
    {
        if (_head is not null)
        {
            _ = Drop();
        }
    }

    private void FreeList(Itx* list)
    {
        long bytes = 0;
        while (list is not null)
        {
            Itx* next = list->Next;
            bytes += list->Bytes;
            KmemAllocator.Free((byte*)list, list->Bytes);
            list = next;
        }

        if (bytes != 0)
        {
            Katomic.Add(ref _bytes, -bytes);
        }
    }
}
