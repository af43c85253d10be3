using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Quotas and reservations of datasets. They are not inherited. A quota and a reservation stand in the directory itself and among
/// its properties, those of what the head refers to among the properties alone. Changed by the sync thread.
/// </summary>
public sealed partial class Spa
{
    // One at a time opens an object set to look at the quotas in it. Taken before transactions.
    private readonly Kmutex _limitMutex = new("spa_limits");

    // Datasets with a reservation of either kind, the deepest first. Replaced as a whole.
    private DslDataset[] _reserving = [];

    /// <summary>The limits that a dataset can have: quota and reservation hold for it with all below and its snapshots, the others for
    /// what it refers to alone.</summary>
    public static IReadOnlyList<string> LimitNames { get; } = ["quota", "refquota", "refreservation", "reservation"];

    /// <summary>A limit of a dataset in bytes, 0: none; one of <see cref="LimitNames"/>.</summary>
    public ulong GetLimit(string dataset, string name)
    {
        DslDataset ds = RequireDataset(dataset);
        return ds.IsSnapshot ? 0 : name switch
        {
            "quota" => ds.Dir.Quota,
            "refquota" => ds.RefQuota,
            "refreservation" => ds.RefReserved,
            "reservation" => ds.Dir.Reserved,
            _ => throw UnknownLimit(name),
        };
    }

    /// <summary>
    /// Sets a limit in bytes, 0: none. ZfsException: ENOSPC for a quota below what is used or reserved, and for a reservation above the quota
    /// or what is available; ENOENT, EINVAL, EROFS, EIO.
    /// </summary>
    public void SetLimit(string dataset, string name, ulong bytes)
    {
        DslDataset ds = RequireDataset(dataset);
        if (!LimitNames.Contains(name))
        {
            throw UnknownLimit(name);
        }

        if (ds.IsSnapshot)
        {
            throw new ZfsException(Errno.EINVAL, $"'{dataset}' is a snapshot: it has no {name}");
        }

        if (bytes > long.MaxValue)
        {
            throw new ZfsException(Errno.EINVAL, $"{name} of {dataset} can't be {bytes}: it is at most {long.MaxValue} bytes");
        }

        string? refusal = null;
        int error = RunSyncTask(tx =>
        {
            refusal = RefusalOf(ds, name, bytes);
            if (refusal is null)
            {
                StoreProperty(ds.Dir, name, bytes, tx);
                ApplyLimit(ds, name, bytes);
            }
        });
        RequireStored(error);
        if (refusal is not null)
        {
            throw new ZfsException(Errno.ENOSPC, $"{name} of {dataset} can't be {bytes} bytes: {refusal}");
        }
    }

    /// <summary>The quota of a user or group in bytes; 0: none. ZfsException: ENOENT, EIO.</summary>
    public ulong GetUserQuota(string dataset, bool isGroup, uint id) => WithObjset(dataset, os =>
    {
        if (os.Quotas is { } mounted)
        {
            return mounted.Quota(isGroup, id);
        }

        using var quotas = new UserQuotas(os);
        return quotas.Quota(isGroup, id);
    });

    /// <summary>Bytes that a user or group uses in a dataset, as of the last txg written; 0 if it keeps no such accounts. ZfsException: ENOENT, EIO.</summary>
    public ulong GetUserUsed(string dataset, bool isGroup, uint id) => WithObjset(dataset, os => UserQuotas.Used(os, isGroup, id));

    /// <summary>
    /// Sets the quota of a user or group in bytes, 0: none. ZfsException: EOPNOTSUPP if the dataset keeps no accounts per user; ENOENT, EROFS,
    /// ENOSPC, EDQUOT, EIO.
    /// </summary>
    public void SetUserQuota(string dataset, bool isGroup, uint id, ulong bytes)
    {
        int error = WithObjset(dataset, os =>
        {
            if (os.IsReadOnly)
            {
                return Errno.EROFS;
            }

            if (!os.HasUserAccounting)
            {
                throw new ZfsException(Errno.EOPNOTSUPP, $"{dataset} keeps no accounts per user and group, so it can't hold them to quotas");
            }

            if (os.Quotas is { } mounted)
            {
                return mounted.Set(isGroup, id, bytes);
            }

            using var quotas = new UserQuotas(os);
            return quotas.Set(isGroup, id, bytes);
        });
        RequireStored(error == 0 ? Sync() : error);
    }

    private T WithObjset<T>(string dataset, Func<Objset, T> use)
    {
        using FstransCookie mark = Fstrans.MarkEntry();
        _limitMutex.Enter();
        Objset? os = null;
        try
        {
            os = OpenObjset(dataset);
            return use(os);
        }
        finally
        {
            if (os is not null)
            {
                CloseObjset(os);
            }

            _limitMutex.Exit();
        }
    }

    /// <summary>At the open: the limits that stand among the properties. A pool whose accounts do not agree with them is not written.</summary>
    private void LoadLimits()
    {
        try
        {
            foreach (DslDataset ds in _datasets.Values)
            {
                if (!ds.IsSnapshot)
                {
                    ds.RefQuota = OwnNumber(ds.Dir, "refquota");
                    ds.RefReserved = OwnNumber(ds.Dir, "refreservation");
                    if (ds.Dir.HasBreakdown && Clamped(ds.Dir.RefReservedUnused) != ds.UnusedReserve)
                    {
                        throw new ZfsException(Errno.EIO, $"{ds.Name} has {ds.Dir.RefReservedUnused} bytes set aside, not {ds.UnusedReserve} as its refreservation says");
                    }
                }
            }
        }
        catch (ZfsException e)
        {
            ReadOnlyReason ??= $"its quotas and reservations are damaged: {e.Message}";
        }

        if (UnusedReserved < 0 || UnusedReserved > TotalBytes)
        {
            ReadOnlyReason ??= $"its quotas and reservations are damaged: {UnusedReserved} bytes are reserved of {TotalBytes}";
        }

        RefreshLimits();
    }

    private void RefreshLimits()
    {
        var reserving = new List<DslDataset>();
        foreach (DslDataset ds in _datasets.Values)
        {
            bool limited = ds.RefQuota != 0 || ds.RefReserved != 0;
            for (DslDir? dir = ds.Dir; dir is not null; dir = dir.Parent)
            {
                limited |= dir.Quota != 0 || dir.Reserved != 0;
            }

            ds.IsLimited = limited && !ds.IsSnapshot;
            if (!ds.IsSnapshot && (ds.RefReserved != 0 || ds.Dir.Reserved != 0))
            {
                reserving.Add(ds);
            }
        }

        _reserving = [.. reserving.OrderByDescending(static ds => ds.Name.Count(static c => c == '/'))];
    }

    /// <summary>In the sync thread: why a limit can't be set; null if it can.</summary>
    private string? RefusalOf(DslDataset ds, string name, ulong bytes)
    {
        DslDir dir = ds.Dir;
        ulong used = dir.UsedBytes;
        switch (name)
        {
            case "quota":
                return bytes == 0 || bytes >= Math.Max(used, dir.Reserved) ? null : Least("used", used, "reserved", dir.Reserved);
            case "refquota":
                return bytes == 0 || bytes >= Math.Max(ds.UsedBytes, ds.RefReserved) ? null : Least("referred to", ds.UsedBytes, "reserved", ds.RefReserved);
            case "reservation":
                return More(used, dir.Reserved, bytes, dir.Quota, dir.Parent is { } parent ? SpaceAvailable(parent) : AvailableBytes);
            default:
                return More(ds.UniqueBytes, ds.RefReserved, bytes, ds.RefQuota, SpaceAvailable(dir));
        }
    }

    private static string Least(string what, ulong used, string other, ulong reserved) =>
        used >= reserved ? $"{used} are {what}" : $"{reserved} are {other}";

    private static string? More(ulong used, ulong before, ulong after, ulong quota, long available)
    {
        ulong more = Math.Max(used, after) - Math.Min(Math.Max(used, before), Math.Max(used, after));
        return more == 0 ? null
            : quota != 0 && after > quota ? $"the quota is {quota}"
            : more > (ulong)Math.Max(0, available) ? $"{more} more would be set aside, {Math.Max(0, available)} are available"
            : null;
    }

    private void ApplyLimit(DslDataset ds, string name, ulong bytes)
    {
        _spaceMutex.Enter();
        try
        {
            switch (name)
            {
                case "quota":
                    ds.Dir.SetQuota(bytes);
                    break;
                case "refquota":
                    ds.RefQuota = bytes;
                    break;
                case "reservation":
                    ds.Dir.SetReserved(bytes);
                    break;
                default:
                    ds.SetRefReserved(bytes);
                    break;
            }

            foreach (DslDataset other in _datasets.Values)
            {
                other.Dir.Covered = 0;
            }

            RefreshLimits();
        }
        finally
        {
            _spaceMutex.Exit();
        }
    }

    /// <summary>A number that the directory has itself: set here, or received and not set back.</summary>
    private ulong OwnNumber(DslDir dir, string name)
    {
        if (dir.Phys.PropsZap == 0)
        {
            return 0;
        }

        Dnode zap = Mos.HoldObject(dir.Phys.PropsZap);
        try
        {
            return Zap.Lookup(zap, name, out ulong value) == 0 ? value
                : Zap.Lookup(zap, name + "$inherit", out _) == 0 ? 0
                : Zap.Lookup(zap, name + "$recvd", out value) == 0 ? value : 0;
        }
        finally
        {
            zap.Release();
        }
    }

    private static ZfsException UnknownLimit(string name) => new(Errno.EINVAL, $"unknown limit '{name}': known are {string.Join(", ", LimitNames)}");
}
