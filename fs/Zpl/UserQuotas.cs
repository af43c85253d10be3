using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// The quotas per user and per group of a file system: two ZAPs from ids to bytes, that the master node names once one has been set. They are
/// held against what is accounted (UserAccounting), so as of the last txg that was written: the open ones go past, as in ZFS.
/// </summary>
internal sealed class UserQuotas : IDisposable
{
    private const ulong MasterNode = 1;
    private static readonly string[] s_names = ["userquota@", "groupquota@"];

    // One at a time makes the ZAPs. Taken before a transaction.
    private readonly Kmutex _setting = new("userquota");
    private readonly Objset _os;
    private readonly Dnode?[] _zaps = new Dnode?[2];

    /// <summary>Finds the quotas that there are. ZfsException: EIO.</summary>
    internal UserQuotas(Objset os)
    {
        _os = os;
        Dnode master = os.HoldObject(MasterNode);
        try
        {
            for (int kind = 0; kind < 2; kind++)
            {
                if (Zap.Lookup(master, s_names[kind], out ulong obj) == 0)
                {
                    _zaps[kind] = os.HoldObject(obj);
                    RequireQuotas(_zaps[kind]!, s_names[kind]);
                }
            }
        }
        catch
        {
            Dispose();
            throw;
        }
        finally
        {
            master.Release();
        }
    }

    /// <summary>Has anybody a quota?</summary>
    internal bool IsAny => _zaps[0] is not null || _zaps[1] is not null;

    /// <summary>Does a user or group use as much as its quota, or more?</summary>
    internal bool IsOver(bool isGroup, ulong id)
    {
        ulong quota = Quota(isGroup, id);
        return quota != 0 && !_os.Spa.InReplay && Used(_os, isGroup, id) >= quota;
    }

    /// <summary>A quota in bytes; 0: none.</summary>
    internal ulong Quota(bool isGroup, ulong id) =>
        _zaps[isGroup ? 1 : 0] is { } zap && Zap.LookupInt(zap, id, out ulong quota) == 0 ? quota : 0;

    /// <summary>Bytes that a user or group uses, as of the last txg written; 0 if the file system keeps no such accounts.</summary>
    internal static ulong Used(Objset os, bool isGroup, ulong id) =>
        os.HasUserAccounting && Zap.LookupInt(isGroup ? os.GroupUsed : os.UserUsed, id, out ulong used) == 0 ? used : 0;

    /// <summary>Sets a quota in bytes, 0: none. 0 or an errno.</summary>
    internal int Set(bool isGroup, ulong id, ulong bytes)
    {
        int kind = isGroup ? 1 : 0;
        DmuTx? tx = null;
        Dnode master = _os.HoldObject(MasterNode);
        _setting.Enter();
        try
        {
            if (_zaps[kind] is null && bytes == 0)
            {
                return 0;
            }

            tx = DmuTx.Create(_os.Txg);
            if (_zaps[kind] is { } there)
            {
                tx.HoldZap(there, add: true);
            }
            else
            {
                tx.HoldNewObject(_os, ZapLimits.MicroBlockStep);
                tx.HoldZap(master, add: true);
            }

            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                return error;
            }

            error = Store(master, kind, id, bytes, tx);
            tx.Commit();
            tx = null;
            return error;
        }
        finally
        {
            End(tx);
            _setting.Exit();
            master.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        for (int kind = 0; kind < 2; kind++)
        {
            _zaps[kind]?.Release();
            _zaps[kind] = null;
        }
    }

    private int Store(Dnode master, int kind, ulong id, ulong bytes, DmuTx tx)
    {
        Dnode? zap = _zaps[kind];
        if (zap is null)
        {
            zap = Zap.Create(_os, DmuOt.UsergroupQuota, DmuOt.None, 0, tx);
            int failed = Zap.Add(master, s_names[kind], zap.Object, tx);
            if (failed != 0)
            {
                _os.FreeObject(zap, tx);
                zap.Release();
                return failed;
            }
        }

        int error = bytes != 0 ? Zap.UpdateInt(zap, id, bytes, tx) : Zap.RemoveInt(zap, id, tx);
        _zaps[kind] = zap;
        return error == Errno.ENOENT ? 0 : error;
    }

    private static void End(DmuTx? tx)
    {
        if (tx is { Txg: not 0 })
        {
            tx.Commit();
        }
        else
        {
            tx?.Abort();
        }
    }

    private static void RequireQuotas(Dnode dn, string name)
    {
        if (dn.Type != DmuOt.UsergroupQuota)
        {
            throw new ZfsException(Errno.EIO, $"{name} of the master node, object {dn.Object}, is of type {dn.Type}");
        }
    }
}
