namespace ZfsLite.Fs;

/// <summary>
/// Walks the chain of an intent log, to put its blocks' space down as referred to: of an unclaimed log the blocks that the
/// space maps of this uberblock can know, of a claimed one all that was claimed, written data blocks included.
/// </summary>
internal sealed unsafe class ZilWalker
{
    private readonly CheckContext _ctx;
    private readonly string _dataset;

    internal ZilWalker(CheckContext ctx, string dataset)
    {
        _ctx = ctx;
        _dataset = dataset;
    }

    /// <summary>Blocks of the chain met.</summary>
    internal int Blocks { get; private set; }

    internal void Walk(in ZilHeader header)
    {
        if (header.Log.IsHole)
        {
            return;
        }

        if (!ZilBlock.IsPointer(header.Log))
        {
            _ctx.Error(_dataset, 0, $"the intent log has a pointer that is none of its own: {header.Log}");
            return;
        }

        byte[] block = new byte[ZilBlock.MaxSize];
        fixed (byte* p = block)
        {
            try
            {
                Walk(header, new ZilChain(_ctx.Pool.Vdevs, header.Log, p));
            }
            catch (ZfsException e)
            {
                _ctx.Error(_dataset, 0, e.Message);
            }
        }
    }

    private void Walk(in ZilHeader header, ZilChain chain)
    {
        bool claimed = header.ClaimTxg != 0;
        ulong lastRecord = (header.Flags & ZilHeader.FlagClaimRecordSeqValid) != 0 ? header.ClaimRecordSeq : ulong.MaxValue, last = 0;
        var writes = new HashSet<(ulong, ulong)>();
        while (!chain.IsBad && chain.MoveNext() && (claimed ? chain.BlockSeq <= header.ClaimBlockSeq : chain.Bp.Birth <= _ctx.Pool.Uberblock.Txg))
        {
            Blocks++;
            bool good = _ctx.Refer(_dataset, 0, chain.Bp);
            if (_ctx.IsOnMissing(chain.Bp.Dva0))
            {
                return;
            }

            if (!good || !chain.Read())
            {
                break;
            }

            for (ZilRecord* r = claimed ? chain.NextRecord() : null; r is not null && r->Seq <= lastRecord; r = chain.NextRecord())
            {
                last = r->Seq;
                if (ZilClaim.IsIndirect(r) && r->WriteBlock.Birth >= header.ClaimTxg && writes.Add((r->WriteBlock.Dva0.Word0, r->WriteBlock.Dva0.Word1)))
                {
                    _ = _ctx.Refer(_dataset, 0, r->WriteBlock);
                }
            }
        }

        if (claimed && lastRecord != ulong.MaxValue && last < lastRecord)
        {
            _ctx.Error(_dataset, 0, $"the intent log ends at record {last}, and had {lastRecord} when the pool was imported");
        }
    }
}
