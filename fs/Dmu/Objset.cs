using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>A set of objects (objset_t): the MOS or a file system.</summary>
public sealed class Objset
{
    /// <summary>Dataset object number; 0 for the MOS.</summary>
    public ulong Id { get; }

    /// <summary>The pool's transaction groups.</summary>
    public TxgEngine Txg => throw new NotSupportedException();

    /// <summary>The dataset's recordsize property, bytes.</summary>
    public int RecordSize => 128 * 1024;

    /// <summary>Space for statfs: bytes that the dataset refers to, and bytes that it could still take.</summary>
    public void GetSpace(out ulong used, out ulong available) => (used, available) = (0, 0);

    /// <summary>Holds an object. Throws ZfsException: ENOENT if the object is free, EIO.</summary>
    public Dnode HoldObject(ulong obj) => throw new NotSupportedException();

    /// <summary>Holds an object; null if it is free.</summary>
    public Dnode? TryHoldObject(ulong obj) => throw new NotSupportedException();

    /// <summary>Allocates an object and returns it held.</summary>
    public Dnode AllocateObject(DmuOt type, int blockSize, DmuOt bonusType, int bonusLength, DmuTx tx) => throw new NotSupportedException();

    /// <summary>Frees a held object and all its blocks. The hold remains and must be released.</summary>
    public void FreeObject(Dnode dn, DmuTx tx) => throw new NotSupportedException();
}
