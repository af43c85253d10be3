using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>
/// Does again what a crash undid: the records of a claimed log, in their order, through the operations of the file system. An operation on names
/// notes in its own transaction that its record is done; writes, truncations and attributes may be done twice, and come to the same.
/// So a crash in the middle of it is nothing special. Afterwards the log's blocks are freed.
/// </summary>
internal sealed unsafe class ZilReplay
{
    private readonly Objset _os;
    private readonly Zilog _log;
    private readonly Zfsvfs _fs;
    private readonly HashSet<(ulong, ulong)> _freed = [];
    private readonly List<Blkptr> _toFree = [];
    private long _done;

    internal ZilReplay(Objset os, Zilog log, Zfsvfs fs)
    {
        _os = os;
        _log = log;
        _fs = fs;
    }

    /// <summary>Throws ZfsException if a record can't be done: the log stays as it is, and the file system can be mounted read-only.</summary>
    internal void Run()
    {
        ZilHeader header = *_os.ZilHeader;
        byte* block = ZioBuf.Alloc(ZilBlock.MaxSize, KmFlags.Sleep);
        try
        {
            _os.Spa.InReplay = true;
            ulong last = Walk(header, block);
            if (header.ClaimTxg != 0 && (header.Flags & ZilHeader.FlagClaimRecordSeqValid) != 0 && last < header.ClaimRecordSeq)
            {
                throw new ZfsException(Errno.EIO,
                    $"the intent log of '{_os.Dataset!.Name}' ends at record {last}, and had {header.ClaimRecordSeq} when the pool was imported; nothing is lost: mount it read-only");
            }
        }
        finally
        {
            ZioBuf.Free(block, ZilBlock.MaxSize);
            _log.ReplayingSeq = 0;
            _os.Spa.InReplay = false;
        }

        int error = _log.Drop(_toFree);
        if (error != 0)
        {
            throw new ZfsException(error, $"the intent log of '{_os.Dataset!.Name}' can't be freed after its replay");
        }

        _log.NoteReplayed(_done);
    }

    /// <summary>Walks the chain, does what has to be done, and notes what is to be freed. Returns the last record's number.</summary>
    private ulong Walk(in ZilHeader header, byte* block)
    {
        bool claimed = header.ClaimTxg != 0;
        ulong lastBlock = claimed ? header.ClaimBlockSeq : ulong.MaxValue;
        ulong lastRecord = (header.Flags & ZilHeader.FlagClaimRecordSeqValid) != 0 ? header.ClaimRecordSeq : ulong.MaxValue;
        ulong last = 0;
        var chain = new ZilChain(_os.Spa.VdevsById, header.Log, block);
        while (!chain.IsBad && chain.MoveNext() && chain.BlockSeq <= lastBlock)
        {
            Free(chain.Bp);
            if (!chain.Read())
            {
                break;
            }

            for (ZilRecord* r = claimed ? chain.NextRecord() : null; r is not null && r->Seq <= lastRecord; r = chain.NextRecord())
            {
                last = r->Seq;
                if (ZilClaim.IsIndirect(r) && r->WriteBlock.Birth >= header.ClaimTxg)
                {
                    Free(r->WriteBlock);
                }

                if (r->Seq > header.ReplaySeq && r->Txg >= header.ClaimTxg)
                {
                    Redo(r);
                }
            }
        }

        return last;
    }

    private void Free(in Blkptr bp)
    {
        if (_freed.Add((bp.Dva0.Word0, bp.Dva0.Word1)))
        {
            _toFree.Add(bp);
        }
    }

    private void Redo(ZilRecord* r)
    {
        _log.ReplayingSeq = r->Seq;
        int error = _fs.Replay(r);
        if (error != 0 && !MayBeMissing(r, error))
        {
            // What it needs may be on its way to disk: a name, or space.
            _ = _os.Spa.Sync();
            error = _fs.Replay(r);
        }

        _log.ReplayingSeq = 0;
        if (error != 0 && !MayBeMissing(r, error))
        {
            throw new ZfsException(error == Errno.EOPNOTSUPP ? error : Errno.EIO,
                $"the intent log of '{_os.Dataset!.Name}' can't be replayed: record {r->Seq} ({r->Kind}): {ErrnoName.Of(error)}; nothing is lost: mount it read-only, or with ZFS");
        }

        _done++;
    }

    /// <summary>Records of contents and attributes come out of order with those of names: their object may be gone.</summary>
    private static bool MayBeMissing(ZilRecord* r, int error) => error is Errno.ENOENT or Errno.ESTALE
        && r->Kind is ZilTx.Write or ZilTx.Write2 or ZilTx.Truncate or ZilTx.SetAttr;
}
