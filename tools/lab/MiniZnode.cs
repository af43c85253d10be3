using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>A cached file: its dnode for transactions, one cached record, and an atime that may be dirty.</summary>
internal sealed unsafe class MiniZnode(int number) : TxHoldable
{
    public override string HoldName => $"dnode {number}";

    public int Number => number;

    /// <summary>The cached record, in the arena; null while the file is not cached. Guarded by the cache's lock.</summary>
    public byte* Data;

    /// <summary>Open handles. Guarded by the cache's lock.</summary>
    public int Opens;

    /// <summary>A read set atime in memory. Guarded by the cache's lock.</summary>
    public bool AtimeDirty;

    /// <summary>In the least-recently-used list. Guarded by the cache's lock.</summary>
    public bool Listed;
}
