using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Blocks that a ZAP can live in other than a dnode's: memory, in tests.</summary>
internal unsafe interface IZapBlocks
{
    /// <summary>Bytes of every block.</summary>
    int BlockSize { get; }

    /// <summary>Orders lookups and changes.</summary>
    Krwlock Lock { get; }

    /// <summary>In-memory index of a micro ZAP.</summary>
    object? Index { get; set; }

    /// <summary>Holds a block; one never written reads as zeros.</summary>
    object Hold(ulong blockId, out byte* data);

    /// <summary>Announces a change; the data may move.</summary>
    byte* WillDirty(object handle, DmuTx tx);

    /// <summary>Ends a hold.</summary>
    void Release(object handle);

    /// <summary>Changes the block size while there is only block 0.</summary>
    void SetBlockSize(int size, DmuTx tx);

    /// <summary>Frees blocks.</summary>
    void FreeBlocks(ulong first, ulong count, DmuTx tx);
}
