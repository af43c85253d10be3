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
}
