using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Writing a block before its txg syncs (dmu_sync), for the intent log: the data go to their final place, and the txg will only store the
/// pointer. If the block changes again in the same txg, what was written is freed and the txg writes it as ever.
/// </summary>
public sealed unsafe partial class Dnode
{
    /// <summary>
    /// Writes what <paramref name="txg"/> has changed of a block. The caller holds the file's range lock, so that the block can't change meanwhile, and
    /// flushes the devices afterwards.
    /// </summary>
    /// <param name="blockId">The block.</param>
    /// <param name="txg">A txg that is not on disk yet.</param>
    /// <param name="bp">Where it is now.</param>
    /// <returns>False, and nothing done: the txg does not have the block dirty, or is syncing, or the block is stored in another form, or there
    /// was no space, no memory, or an I/O error.</returns>
    internal bool TryWriteNow(ulong blockId, ulong txg, out Blkptr bp)
    {
        bp = default;
        Dbuf db = HoldUnread(blockId);
        try
        {
            int slot = TxgSlots<int>.Index(txg);
            db.Mutex.Enter();
            DirtyRecord* dr = (db.DirtyMask & (1 << slot)) != 0 ? (DirtyRecord*)db.Dirty[slot] : null;
            if (dr is null || dr->Txg != txg || Objset.Txg.SyncingTxg >= txg || !CanWriteNow(dr))
            {
                db.Mutex.Exit();
                return false;
            }

            if (dr->Written is not null)
            {
                bp = *dr->Written;
                db.Mutex.Exit();
                return true;
            }

            byte* data = dr->Data is not null ? dr->Data : db.Data;
            Objset.Spa.WritesNow.Begin(&dr->IsBeingWritten);
            db.Mutex.Exit();
            var kept = (Blkptr*)KmemAllocator.Alloc(Blkptr.SizeOf, KmFlags.PushPage | KmFlags.NoSleep);
            bool good = kept is not null && WriteNow(data, dr->Size, txg, out bp);
            db.Mutex.Enter();
            if (good)
            {
                *kept = bp;
                dr->Written = kept;
            }

            Objset.Spa.WritesNow.End(&dr->IsBeingWritten);
            db.Mutex.Exit();
            if (!good && kept is not null)
            {
                KmemAllocator.Free((byte*)kept, Blkptr.SizeOf);
            }

            return good;
        }
        finally
        {
            db.Release();
        }
    }

    private bool CanWriteNow(DirtyRecord* dr) => Objset.CompressFor(false, _phys->Compress) == ZioCompressType.Off
        && dr->Size % Objset.Spa.SectorBytes == 0;

    private bool WriteNow(byte* data, int size, ulong txg, out Blkptr bp)
    {
        bp = default;
        Spa spa = Objset.Spa;
        int copies = Objset.CopiesFor(false);
        Span<Dva> dvas = stackalloc Dva[3];
        dvas.Clear();
        if (!spa.Allocator.TryAllocate(size, copies, txg, dvas))
        {
            return false;
        }

        ZioChecksumType function = Objset.ChecksumFor(false, _phys->Checksum);
        bp = new Blkptr
        {
            Dva0 = dvas[0],
            Dva1 = dvas[1],
            Dva2 = dvas[2],
            LogicalSize = size,
            PhysicalSize = size,
            Compress = ZioCompressType.Off,
            ChecksumType = function,
            Type = Type,
            IsLittleEndian = true,
            Birth = txg,
            Fill = 1,
            Checksum = function == ZioChecksumType.Off ? default : ZioChecksum.Compute(function, data, size),
        };
        Span<IoSegment> segment = [new IoSegment((nint)data, size)];
        for (int i = 0; i < copies; i++)
        {
            if (spa.VdevOf(dvas[i]).Write(dvas[i].Offset, segment) != 0)
            {
                spa.FreeBlock(bp, txg);
                bp = default;
                return false;
            }
        }

        return true;
    }
}
