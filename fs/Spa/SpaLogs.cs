using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>The intent logs of a pool that is being opened.</summary>
public sealed partial class Spa
{
    /// <summary>The head of a dataset's log. Throws ZfsException (EIO).</summary>
    private unsafe Blkptr ReadLogHead(DslDataset ds)
    {
        Blkptr bp = ds.Phys.Bp;
        if (bp.IsHole)
        {
            return default;
        }

        byte* data = KmemAllocator.Zalloc(ObjsetPhys.SizeOf, KmFlags.Sleep);
        try
        {
            if (bp.LogicalSize > ObjsetPhys.SizeOf || ReadBlock(bp, data) != 0)
            {
                throw new ZfsException(Errno.EIO, $"dataset '{ds.Name}' can't be read");
            }

            return ((ObjsetPhys*)data)->ZilHeader.Log;
        }
        finally
        {
            KmemAllocator.Free(data, ObjsetPhys.SizeOf);
        }
    }

    /// <summary>A log was cut off where it goes on on a missing device: what lay behind that is still allocated.</summary>
    internal bool IsLogCut { get; set; }

    /// <summary>Is this address on a log device that is missing?</summary>
    internal bool IsOnMissingLog(in Dva dva)
    {
        foreach (Vdev v in MissingLogs)
        {
            if (v.Id == dva.Vdev)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Claims what the logs of all datasets refer to. Before anything is allocated; the object sets stay open until their heads are on
    /// disk, which is when <see cref="FinishClaims"/> returns.
    /// </summary>
    private unsafe List<Objset> ClaimLogs(out ulong newest)
    {
        var claimed = new List<Objset>();
        ulong first = Txg.OpenTxg;
        newest = first;
        foreach (DslDataset ds in _datasets.Values)
        {
            if (ds.IsSnapshot || ReadLogHead(ds).IsHole)
            {
                continue;
            }

            Objset os = OpenObjset(ds.Name);
            if (ZilClaim.Claim(this, os.ZilHeader, first, ref newest))
            {
                AddDirtyObjset(os, first);
                claimed.Add(os);
            }
            else
            {
                CloseUnchanged(os);
            }
        }

        return claimed;
    }

    /// <summary>Waits until the claims are on disk, and no block in the logs is younger than the pool.</summary>
    private void FinishClaims(List<Objset> claimed, ulong newest)
    {
        while (claimed.Count > 0 && Txg.SyncedTxg < newest && !HasFailed)
        {
            _configDirty = true;
            Txg.WaitSynced(0);
        }

        foreach (Objset os in claimed)
        {
            CloseObjset(os);
        }
    }

    private static void CloseUnchanged(Objset os)
    {
        os.Dataset!.OpenCount = 0;
        os.Dataset.Objset = null;
        os.Unload();
    }
}
