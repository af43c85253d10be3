using ZfsLite.Cli.Posix;
using ZfsLite.Fs;

namespace ZfsLite.Cli;

/// <summary>Finds pools by their labels. Only reads.</summary>
internal static class PoolFinder
{
    /// <summary>Looks at every regular file and block device of a directory (not below it), in order of name.</summary>
    internal static List<ImportRow> Find(string directory)
    {
        using CommandMemory memory = CommandMemory.Use();
        var pools = new SortedDictionary<(string Name, ulong Guid), ImportRow>();
        foreach (string path in Directory.GetFiles(directory).Order(StringComparer.Ordinal))
        {
            if (Native.KindOf(path) is FileKind.Regular or FileKind.Block)
            {
                Look(path, pools);
            }
        }

        foreach (ImportRow row in pools.Values.Where(static r => r.ByVdev.Count < r.VdevCount))
        {
            AddMissing(row);
        }

        return [.. pools.Values];
    }

    /// <summary>The guid of the pool that a device belongs to by its labels; null if it has none.</summary>
    internal static ulong? PoolOn(string path)
    {
        using CommandMemory memory = CommandMemory.Use();
        using FileVdevIo io = FileVdevIo.Open(path, readOnly: true);
        return VdevLabel.Scan(io).Config?.PoolGuid;
    }

    private static void Look(string path, SortedDictionary<(string Name, ulong Guid), ImportRow> pools)
    {
        VdevLabelScan scan;
        try
        {
            using FileVdevIo io = FileVdevIo.Open(path, readOnly: true);
            scan = VdevLabel.Scan(io);
        }
        catch (ZfsException e)
        {
            if (e.Errno == Errno.EBUSY && ControlClient.Find(path) is { } client)
            {
                AddMounted(path, client, pools);
            }

            return;
        }

        if (scan.Config is not { } config)
        {
            return;
        }

        if (!pools.TryGetValue((config.Name, config.PoolGuid), out ImportRow? row))
        {
            row = new ImportRow
            {
                Pool = config.Name,
                Guid = config.PoolGuid.ToString("x16"),
                State = config.Unsupported() ?? StateOf(config.State),
                Version = (long)Math.Min(config.Version, long.MaxValue),
            };
            pools.Add((config.Name, config.PoolGuid), row);
        }

        row.Txg = Math.Max(row.Txg, scan.HasUberblock ? scan.Best.Txg : config.Txg);
        row.Devices.Add(path);
        if (config.Unsupported() is null && config.Tops.Count > 0)
        {
            _ = row.ByVdev.TryAdd(config.Tops[0].Id, path);
            row.VdevCount = (int)Math.Min(config.VdevChildren - (ulong)config.Holes.Count, int.MaxValue);
            if (config.Tops[0].IsLog)
            {
                row.LogDevices.Add(path);
            }
        }
    }

    private static void AddMounted(string path, ControlClient client, SortedDictionary<(string Name, ulong Guid), ImportRow> pools)
    {
        StatusInfo status = client.Ask(new ControlRequest { Command = "status" }, ControlJson.Default.StatusInfo);
        if (!pools.TryGetValue((status.Pool, 0), out ImportRow? row))
        {
            row = new ImportRow { Pool = status.Pool, Guid = status.Guid, State = $"mounted on {status.MountPoint}", Version = status.Version, Txg = status.Txg };
            pools.Add((status.Pool, 0), row);
        }

        row.Devices.Add(path);
        if (status.LogDevices.Contains(path))
        {
            row.LogDevices.Add(path);
        }
    }

    private static void AddMissing(ImportRow row)
    {
        var devices = new List<IVdevIo>();
        try
        {
            devices.AddRange(row.ByVdev.Values.Select(static d => FileVdevIo.Open(d, readOnly: true)));
            row.Missing = [.. MissingVdevs.Of(PoolReader.Open(devices))];
        }
        catch (ZfsException e)
        {
            row.Missing = [e.Message];
        }
        finally
        {
            devices.ForEach(static d => d.Dispose());
        }
    }

    private static string StateOf(PoolState state) => state switch
    {
        PoolState.Active => "active",
        PoolState.Exported => "exported",
        PoolState.Destroyed => "destroyed",
        _ => "not part of a pool",
    };
}
