using System.Runtime.InteropServices;
using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Appends records to a space map object, a block's worth per write.</summary>
internal sealed unsafe class SpaceMapWriter(Dnode dnode, ulong offset, DmuTx tx) : ISpaceMapSink, IDisposable
{
    private const int BufferSize = 4096;

    private ulong* _buffer = (ulong*)KmemAllocator.Alloc(BufferSize, KmFlags.PushPage);
    private int _count;

    /// <summary>Where the next record goes, bytes: the size of the map once all is flushed.</summary>
    internal ulong End => offset + ((ulong)_count * sizeof(ulong));

    /// <inheritdoc/>
    public void Append(ulong entry)
    {
        _buffer[_count++] = entry;
        if (End % BufferSize == 0)
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
            dnode.Write(offset, bytes, (byte*)_buffer, tx);
            offset += (ulong)bytes;
            _count = 0;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        KmemAllocator.Free((byte*)_buffer, BufferSize);
        _buffer = null;
    }
}
