namespace ZfsLite.Fs;

/// <summary>
/// What one txg will write of one block (dbuf_dirty_record_t); lives in the arena. <see cref="Data"/> is null while the txg shares the
/// block's current buffer; the first change by a later txg leaves the old buffer here and gives the block a copy.
/// </summary>
internal unsafe struct DirtyRecord
{
    internal byte* Data;
    internal ulong Txg;
    internal int Size;
    internal int Charged;

    /// <summary>Bytes of the pool that writing it may take, as charged; the properties it follows from may change meanwhile.</summary>
    internal long Pending;

    /// <summary>The block was written ahead of its txg (Dnode.TryWriteNow), as this pointer says; else null.</summary>
    internal Blkptr* Written;

    /// <summary>Not 0: it is being written so.</summary>
    internal int IsBeingWritten;
}
