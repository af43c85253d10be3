using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>
/// At the opening of a pool, before anything is allocated: what a log refers to that the space maps of the last uberblock do not know
/// is marked allocated, so that nothing overwrites it before it is replayed (format sheet §8.4).
/// </summary>
internal static unsafe class ZilClaim
{
    /// <summary>Claims the log of an object set. True if its header has changed: the object set must be written in the first txg.</summary>
    /// <param name="spa">The pool, not yet writing.</param>
    /// <param name="header">The head of the log.</param>
    /// <param name="first">The first txg that will be written.</param>
    /// <param name="newest">The youngest birth of what was claimed.</param>
    internal static bool Claim(Spa spa, ZilHeader* header, ulong first, ref ulong newest)
    {
        if (header->Log.IsHole || (header->ClaimTxg != 0 && spa.MissingLogs.Count == 0))
        {
            return false;
        }

        if (spa.IsOnMissingLog(header->Log.Dva0))
        {
            spa.IsLogCut = true;
            *header = default;
            return true;
        }

        if (header->ClaimTxg != 0)
        {
            CutAtMissing(spa, header);
            return true;
        }

        header->ClaimBlockSeq = 0;
        header->ClaimRecordSeq = 0;
        byte* block = ZioBuf.Alloc(ZilBlock.MaxSize, KmFlags.Sleep);
        try
        {
            Walk(spa, header, first, block, ref newest);
        }
        finally
        {
            ZioBuf.Free(block, ZilBlock.MaxSize);
        }

        header->ClaimTxg = first;
        header->Flags = ZilHeader.FlagClaimRecordSeqValid | (header->ClaimRecordSeq != 0 ? ZilHeader.FlagReplayNeeded : 0);
        return true;
    }

    private static void Walk(Spa spa, ZilHeader* header, ulong first, byte* block, ref ulong newest)
    {
        var writes = new HashSet<(ulong, ulong)>();
        var chain = new ZilChain(spa.VdevsById, header->Log, block);
        while (chain.MoveNext() && !spa.IsOnMissingLog(chain.Bp.Dva0) && IsOurs(spa, chain.Bp, first, ref newest))
        {
            header->ClaimBlockSeq = chain.BlockSeq;
            if (!chain.Read())
            {
                return;
            }

            for (ZilRecord* r = chain.NextRecord(); r is not null; r = chain.NextRecord())
            {
                if (IsIndirect(r) && !ClaimWrite(spa, r->WriteBlock, first, writes, ref newest))
                {
                    return;
                }

                header->ClaimRecordSeq = r->Seq;
            }

            if (chain.IsBad)
            {
                return;
            }
        }
    }

    /// <summary>A log that was claimed when all devices were here ends before its first block on one that is missing now.</summary>
    private static void CutAtMissing(Spa spa, ZilHeader* header)
    {
        byte* block = ZioBuf.Alloc(ZilBlock.MaxSize, KmFlags.Sleep);
        try
        {
            CutAtMissing(spa, header, block);
        }
        finally
        {
            ZioBuf.Free(block, ZilBlock.MaxSize);
        }
    }

    private static void CutAtMissing(Spa spa, ZilHeader* header, byte* block)
    {
        var chain = new ZilChain(spa.VdevsById, header->Log, block);
        ulong last = 0;
        ulong lastRecord = 0;
        while (chain.MoveNext() && chain.BlockSeq <= header->ClaimBlockSeq)
        {
            if (spa.IsOnMissingLog(chain.Bp.Dva0))
            {
                spa.IsLogCut = true;
                header->ClaimBlockSeq = last;
                header->ClaimRecordSeq = lastRecord;
                break;
            }

            last = chain.BlockSeq;
            if (chain.Read())
            {
                for (ZilRecord* r = chain.NextRecord(); r is not null; r = chain.NextRecord())
                {
                    lastRecord = r->Seq;
                }
            }
        }
    }

    /// <summary>A write whose data are a block of their own.</summary>
    internal static bool IsIndirect(ZilRecord* r) => r->Kind == ZilTx.Write && r->Length == ZilRecord.WriteSize && !r->WriteBlock.IsHole;

    /// <summary>A block that the space maps know, or that could be claimed. A block that belongs to something else ends the log.</summary>
    private static bool IsOurs(Spa spa, in Blkptr bp, ulong first, ref ulong newest)
    {
        if (bp.Birth < first)
        {
            return true;
        }

        if (bp.Birth > first + Txn.TxgEngine.TxgSize || !spa.Allocator.TryClaim(bp, first))
        {
            return false;
        }

        newest = Math.Max(newest, bp.Birth);
        return true;
    }

    private static bool ClaimWrite(Spa spa, in Blkptr bp, ulong first, HashSet<(ulong, ulong)> writes, ref ulong newest)
    {
        // Two records may share a block.
        if (bp.Birth < first || writes.Contains((bp.Dva0.Word0, bp.Dva0.Word1)))
        {
            return true;
        }

        if (ZioReader.Problem(bp) is not null)
        {
            return false;
        }

        if (bp.IsGang)
        {
            throw new ZfsException(Errno.EOPNOTSUPP, $"the intent log points to a gang block ({bp}): mount the pool once with ZFS, or read-only");
        }

        byte* data = ZioBuf.Alloc(bp.LogicalSize, KmFlags.Sleep);
        int error = spa.ReadBlock(bp, data);
        ZioBuf.Free(data, bp.LogicalSize);
        return error == 0 && IsOurs(spa, bp, first, ref newest) && writes.Add((bp.Dva0.Word0, bp.Dva0.Word1));
    }
}
