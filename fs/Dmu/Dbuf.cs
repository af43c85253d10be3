using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>A held block of an object (dmu_buf_impl_t).</summary>
public sealed unsafe class Dbuf
{
    /// <summary>The block's current contents, <see cref="Size"/> bytes, in the arena; valid while held.</summary>
    public byte* Data { get; }

    /// <summary>Bytes of the block.</summary>
    public int Size { get; }

    /// <summary>Number of the block in its object.</summary>
    public ulong BlockId { get; }

    /// <summary>Call before changing the contents, inside an assigned tx. May move <see cref="Data"/>: read it again afterwards.</summary>
    public void WillDirty(DmuTx tx) => throw new NotSupportedException();

    /// <summary>Lets go of the hold.</summary>
    public void Release() => throw new NotSupportedException();
}
