using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>A held object (dnode_t).</summary>
public sealed unsafe class Dnode : TxHoldable
{
    /// <inheritdoc/>
    public override string HoldName => $"dnode {Object}";

    /// <summary>The object set it belongs to.</summary>
    public Objset Objset { get; } = null!;

    /// <summary>Object number.</summary>
    public ulong Object { get; }

    /// <summary>Type of the object.</summary>
    public DmuOt Type { get; }

    /// <summary>Type of its bonus buffer.</summary>
    public DmuOt BonusType { get; }

    /// <summary>Bytes of bonus in use, 0 to 320.</summary>
    public int BonusLength { get; }

    /// <summary>The current bonus, room for 320 bytes. Whoever owns the object (the znode) orders its changes.</summary>
    public byte* Bonus { get; }

    /// <summary>Data block size, bytes.</summary>
    public int BlockSize { get; }

    /// <summary>Highest block id ever written (0 if none).</summary>
    public ulong MaxBlockId { get; }

    /// <summary>Bytes on disk, as of the last synced txg.</summary>
    public long UsedBytes { get; }

    /// <summary>Orders lookups and changes of the contents by whoever gives them a meaning (a ZAP).</summary>
    public Krwlock ContentLock { get; } = new("dn_content");

    /// <summary>What the interpreter of the contents keeps in memory (a ZAP's index). Disposed, if it can be, when the dnode leaves memory.</summary>
    public object? UserData { get; set; }

    /// <summary>Call before changing <see cref="Bonus"/>, inside an assigned tx that holds this dnode.</summary>
    public void DirtyBonus(DmuTx tx) => throw new NotSupportedException();

    /// <summary>Changes the bonus length.</summary>
    public void SetBonusLength(int length, DmuTx tx) => throw new NotSupportedException();

    /// <summary>Changes the block size; allowed while the object has at most block 0. Contents are kept, zero-extended.</summary>
    public void SetBlockSize(int size, DmuTx tx) => throw new NotSupportedException();

    /// <summary>Holds a block, reading it if need be; a hole reads as zeros. Throws ZfsException (EIO).</summary>
    public Dbuf HoldBlock(ulong blockId) => throw new NotSupportedException();

    /// <summary>Copies bytes out; blocks past the end read as zeros.</summary>
    public void Read(ulong offset, long length, byte* destination) => throw new NotSupportedException();

    /// <summary>Copies bytes in, inside an assigned tx. Grows MaxBlockId as needed, never the block size.</summary>
    public void Write(ulong offset, long length, byte* source, DmuTx tx) => throw new NotSupportedException();

    /// <summary>Frees a range: whole blocks become holes, parts of blocks zeros. ulong.MaxValue: to the end.</summary>
    public void FreeRange(ulong offset, ulong length, DmuTx tx) => throw new NotSupportedException();

    /// <summary>
    /// Finds the next data (or, with <paramref name="hole"/>, the next hole) at or after an offset, by blocks, dirty ones
    /// included (dnode_next_offset). False: none up to the end of the last block.
    /// </summary>
    public bool NextOffset(ulong offset, bool hole, out ulong result) => throw new NotSupportedException();

    /// <summary>Lets go of the hold.</summary>
    public void Release() => throw new NotSupportedException();
}
