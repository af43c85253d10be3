using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Appends records to a space map object, a block's worth per write, gathered in a buffer of <see cref="RangeMemory.BlockBytes"/>.</summary>
internal sealed unsafe class SpaceMapWriter(Dnode dnode, ulong offset, DmuTx tx, ulong* buffer) : ISpaceMapSink
{
    private int _count;

    /// <summary>Where the next record goes, bytes: the size of the map once all is flushed.</summary>
    internal ulong End => offset + ((ulong)_count * sizeof(ulong));

    /// <inheritdoc/>
    public void Append(ulong entry)
    {
        buffer[_count++] = entry;
        if (End % RangeMemory.BlockBytes == 0)
        {
            Flush();
        }
    }

    /// <summary>Writes what is gathered.</summary>
    internal void Flush()
    {
        if (_count > 0)
        {
            int bytes = _count * sizeof(ulong);
            dnode.Write(offset, bytes, (byte*)buffer, tx);
            offset += (ulong)bytes;
            _count = 0;
        }
    }
}
