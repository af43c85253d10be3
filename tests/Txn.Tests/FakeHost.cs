using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

/// <summary>A pool that only records what it is asked.</summary>
internal sealed class FakeHost : ITxgHost
{
    private readonly Kmutex _lock = new("fake_host");
    private readonly List<ulong> _synced = [];

    public Action<ulong>? OnSync { get; set; }

    public Func<long, bool, int>? OnCheckSpace { get; set; }

    public int InSync;

    public ulong[] Synced
    {
        get
        {
            _lock.Enter();
            ulong[] copy = [.. _synced];
            _lock.Exit();
            return copy;
        }
    }

    public void SyncTxg(ulong txg)
    {
        if (Katomic.Increment(ref InSync) != 1)
        {
            throw new InvalidOperationException("two txgs are written at once");
        }

        OnSync?.Invoke(txg);
        _lock.Enter();
        _synced.Add(txg);
        _lock.Exit();
        Katomic.Decrement(ref InSync);
    }

    /// <summary>What assigned transactions are promised, each its worst case.</summary>
    public long Promised;

    public int CheckSpace(TxHoldable? first, long bytes, bool netFree, out long promised)
    {
        int error = OnCheckSpace?.Invoke(bytes, netFree) ?? 0;
        promised = error == 0 && first is not null ? bytes : 0;
        Katomic.Add(ref Promised, promised);
        return error;
    }

    public void ReleaseSpace(TxHoldable first, long promised) => Katomic.Add(ref Promised, -promised);
}
