using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>All memory pools of a system. One lock guards their reserves, so that elements of several can be taken at one stroke; it
/// is needed only where an allocation failed or a reserve is refilled.</summary>
internal sealed class MempoolRegistry
{
    private readonly List<Mempool> _pools = [];

    /// <summary>Guards every reserve. A leaf.</summary>
    internal Kmutex Lock { get; } = new("mempool");

    internal void Add(Mempool pool)
    {
        Lock.Enter();
        _pools.Add(pool);
        Lock.Exit();
    }

    internal void Remove(Mempool pool)
    {
        Lock.Enter();
        _ = _pools.Remove(pool);
        Lock.Exit();
    }

    /// <summary>The figures of all pools, in the order of creation.</summary>
    internal IReadOnlyList<MempoolStats> Statistics()
    {
        Lock.Enter();
        Mempool[] pools = [.. _pools];
        Lock.Exit();
        return [.. pools.Select(static p => p.Statistics())];
    }
}
