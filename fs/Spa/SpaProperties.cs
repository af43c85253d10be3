using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Dataset properties: kept in the directory's props ZAP, inherited from the directory above.</summary>
public sealed partial class Spa
{
    /// <summary>The properties that can be read and set, with their defaults.</summary>
    public static IReadOnlyList<string> PropertyNames { get; } = [.. DatasetProperty.All.Select(static p => p.Name)];

    /// <summary>A property of a dataset in its written form ("on", "lzjb", "128K"), and where it comes from ("default", a dataset's name).</summary>
    public (string Value, string Source) GetProperty(string dataset, string property)
    {
        DslDataset ds = RequireDataset(dataset);
        DatasetProperty p = RequireProperty(property);
        (ulong value, string source) = Lookup(ds.Dir, p);
        return (p.Format(value), source);
    }

    /// <summary>Sets a property of a dataset; in force for what is written from now on. ZfsException: EINVAL, ENOENT, EROFS, EIO.</summary>
    public void SetProperty(string dataset, string property, string value)
    {
        DslDataset ds = RequireDataset(dataset);
        DatasetProperty p = RequireProperty(property);
        if (ds.IsSnapshot)
        {
            throw new ZfsException(Errno.EROFS, $"'{dataset}' is a snapshot: its properties can't be set");
        }

        ulong number = p.Parse(value);
        RequireStored(RunSyncTask(tx => StoreProperty(ds.Dir, p.Name, number, tx)));
        foreach (DslDataset other in _datasets.Values)
        {
            if (other.Objset is { } os)
            {
                ApplyProperties(os, other.Dir);
            }
        }
    }

    /// <summary>In the sync thread: a property of the directory itself.</summary>
    private void StoreProperty(DslDir dir, string name, ulong value, DmuTx tx)
    {
        if (dir.Phys.PropsZap == 0)
        {
            Dnode fresh = Zap.Create(Mos, DmuOt.DslProps, DmuOt.None, 0, tx);
            dir.SetPropsZap(fresh.Object);
            fresh.Release();
        }

        Dnode zap = Mos.HoldObject(dir.Phys.PropsZap);
        try
        {
            int failed = Zap.Update(zap, name, value, tx);
            if (failed != 0)
            {
                throw new ZfsException(failed, $"property {name} of {dir.Name} can't be stored");
            }

            _ = Zap.Remove(zap, name + "$inherit", tx);
        }
        finally
        {
            zap.Release();
        }
    }

    private void RequireStored(int error)
    {
        if (error != 0)
        {
            throw new ZfsException(error, error switch
            {
                Errno.EROFS => $"pool '{Name}' is read-only: {ReadOnlyReason}",
                Errno.EIO => $"pool '{Name}' is suspended",
                _ => $"pool '{Name}' can't store it: {ErrnoName.Of(error)}",
            });
        }
    }

    private static DatasetProperty RequireProperty(string name) => DatasetProperty.Find(name)
        ?? throw new ZfsException(Errno.EINVAL, $"unknown property '{name}': known are {string.Join(", ", PropertyNames)}");

    private void ApplyProperties(Objset os, DslDir dir)
    {
        os.Compression = (ZioCompressType)Lookup(dir, DatasetProperty.Compression).Value;
        os.ChecksumType = (ZioChecksumType)Lookup(dir, DatasetProperty.Checksum).Value;
        os.Copies = (int)Lookup(dir, DatasetProperty.Copies).Value;
        os.RecordSize = (int)Lookup(dir, DatasetProperty.RecordSize).Value;
        os.SyncMode = (SyncMode)Lookup(dir, DatasetProperty.Sync).Value;
        os.LogBias = (LogBias)Lookup(dir, DatasetProperty.LogBias).Value;
        if (os.Log is { } log)
        {
            log.Mode = os.SyncMode;
            log.Bias = os.LogBias;
        }

        os.AtimeOn = Lookup(dir, DatasetProperty.Atime).Value != 0;
    }

    private (ulong Value, string Source) Lookup(DslDir dir, DatasetProperty p)
    {
        for (DslDir? d = dir; d is not null; d = d.Parent)
        {
            if (d.Phys.PropsZap == 0)
            {
                continue;
            }

            Dnode zap = Mos.HoldObject(d.Phys.PropsZap);
            try
            {
                if (Zap.Lookup(zap, p.Name, out ulong value) == 0 && p.IsValid(value))
                {
                    return (value, ReferenceEquals(d, dir) ? "local" : d.Name);
                }
            }
            finally
            {
                zap.Release();
            }
        }

        return (p.Default, "default");
    }
}
