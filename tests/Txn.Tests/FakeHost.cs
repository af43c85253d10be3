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

    public int CheckSpace(long bytes, bool netFree) => OnCheckSpace?.Invoke(bytes, netFree) ?? 0;
}
