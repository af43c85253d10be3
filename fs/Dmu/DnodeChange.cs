namespace ZfsLite.Fs;

/// <summary>What one txg changes about a dnode besides its blocks. Pooled with the dnode.</summary>
internal sealed unsafe class DnodeChange
{
    /// <summary>In the object set's list of dirty dnodes for the txg.</summary>
    internal bool Listed;

    internal ulong Txg;

    /// <summary>The object comes into being in this txg.</summary>
    internal bool Allocated;

    /// <summary>The object goes in this txg.</summary>
    internal bool Freed;

    /// <summary>The bonus changes; <see cref="Bonus"/> null: the txg shares the current bonus.</summary>
    internal bool BonusDirty;

    internal byte* Bonus;

    internal int BonusLength;

    /// <summary>New data block size, 0: unchanged.</summary>
    internal int BlockSize;

    /// <summary>The object was cut: the highest block id is at most this; -1: not cut.</summary>
    internal long TruncatedTo = -1;

    /// <summary>New indirect depth is decided at sync time from the dirty blocks; these are freed first.</summary>
    internal readonly FreeRangeList Free = new();

    /// <summary>Head of the list of level-0 blocks dirtied.</summary>
    internal Dbuf? DirtyHead;

    /// <summary>Dirty bytes charged for the dnode itself.</summary>
    internal int Charged;

    /// <summary>Bytes on disk that the txg is expected to free.</summary>
    internal long PendingFree;

    internal void Reset()
    {
        Listed = false;
        Txg = 0;
        Allocated = false;
        Freed = false;
        BonusDirty = false;
        Bonus = null;
        BonusLength = 0;
        BlockSize = 0;
        TruncatedTo = -1;
        Free.Clear();
        DirtyHead = null;
        Charged = 0;
        PendingFree = 0;
    }
}
