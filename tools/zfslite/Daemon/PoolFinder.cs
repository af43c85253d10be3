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

        return [.. pools.Values];
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
                StatusInfo status = client.Ask(new ControlRequest { Command = "status" }, ControlJson.Default.StatusInfo);
                pools[(status.Pool, 0)] = new ImportRow
                {
                    Pool = status.Pool,
                    Guid = status.Guid,
                    State = $"mounted on {status.MountPoint}",
                    Version = status.Version,
                    Txg = status.Txg,
                    Devices = [path],
                };
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
    }

    private static string StateOf(PoolState state) => state switch
    {
        PoolState.Active => "active",
        PoolState.Exported => "exported",
        PoolState.Destroyed => "destroyed",
        _ => "not part of a pool",
    };
}
