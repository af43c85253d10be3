using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>A pool without a disk: dirty buffers in the arena by txg, written by waiting for a while.</summary>
internal sealed unsafe class MiniPool : ITxgHost
{
    private readonly ScenarioOptions _options;
    private readonly ScenarioCounters _counters;

    // Guards the lists of dirty buffers. Nothing is taken under it.
    private readonly Kmutex _lock = new("mini_pool");
    private readonly List<(nint Address, int Bytes)>[] _dirty = new List<(nint, int)>[TxgEngine.TxgSize];

    internal MiniPool(ScenarioOptions options, ScenarioCounters counters)
    {
        _options = options;
        _counters = counters;
        for (int i = 0; i < _dirty.Length; i++)
        {
            _dirty[i] = [];
        }

        Engine = new TxgEngine(this, new TxgOptions { DirtyMaxBytes = options.DirtyMaxBytes });
    }

    internal TxgEngine Engine { get; }

    /// <summary>Gives a buffer to a transaction: it is freed once it has been written.</summary>
    internal void Dirty(DmuTx tx, byte* data, int bytes)
    {
        _lock.Enter();
        _dirty[tx.Txg & TxgEngine.TxgMask].Add(((nint)data, bytes));
        _lock.Exit();
        Engine.DirtySpace(bytes, tx.Txg);
    }

    /// <inheritdoc/>
    public void SyncTxg(ulong txg)
    {
        _lock.Enter();
        List<(nint Address, int Bytes)> list = _dirty[txg & TxgEngine.TxgMask];
        _dirty[txg & TxgEngine.TxgMask] = [];
        _lock.Exit();
        foreach ((nint address, int bytes) in list)
        {
            // What is written is a copy, compressed and with its checksum: the sync path needs memory too.
            byte* zio = KmemAllocator.VmemAlloc(bytes, KmFlags.PushPage);
            Buffer.MemoryCopy((void*)address, zio, bytes, 64);
            Kthread.Sleep(_options.DiskNs);
            KmemAllocator.VmemFree(zio, bytes);
            KmemAllocator.VmemFree((byte*)address, bytes);
            Engine.UndirtySpace(bytes, txg);
        }

        _counters.Txgs++;
    }

    /// <inheritdoc/>
    public int CheckSpace(TxHoldable? first, long bytes, bool netFree, out long promised)
    {
        promised = 0;
        return 0;
    }

    /// <inheritdoc/>
    public void ReleaseSpace(TxHoldable first, long promised)
    {
    }
}
