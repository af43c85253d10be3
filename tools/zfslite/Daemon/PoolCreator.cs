using ZfsLite.Cli.Posix;
using ZfsLite.Fs;

namespace ZfsLite.Cli;

/// <summary>Makes a pool on devices, and never on top of another pool. Nothing is written before every device has been looked at.</summary>
internal static class PoolCreator
{
    /// <summary>
    /// Makes the files that are not there if a size is given, checks the devices, writes the pool. Returns the size of all devices,
    /// bytes. When it fails, the files that were made are gone again.
    /// </summary>
    internal static long Create(
        string pool, IReadOnlyList<string> data, IReadOnlyList<string> logs, long? size, int ashift, IReadOnlyDictionary<string, string> properties)
    {
        string[] paths = [.. data, .. logs];
        OpenPool.RefuseTwice(paths);
        return WithFiles(paths, size, () =>
        {
            var devices = new List<IVdevIo>();
            using CommandMemory memory = CommandMemory.Use();
            try
            {
                devices.AddRange(OpenPool.OpenDevices(paths, readOnly: false));
                devices.ForEach(static d => CheckDevice((FileVdevIo)d));
                _ = PoolFormatter.Format(devices, Options(pool, logs.Count, ashift, properties));
                return devices.Take(data.Count).Sum(static d => d.Size);
            }
            finally
            {
                devices.ForEach(static d => d.Dispose());
            }
        });
    }

    /// <summary>Makes the files that are not there if a size is given, and runs an action; when it fails, they are gone again.</summary>
    internal static T WithFiles<T>(IReadOnlyList<string> paths, long? size, Func<T> action)
    {
        var made = new List<string>();
        try
        {
            bool allThere = paths.All(static p => Native.KindOf(p) != FileKind.None);
            foreach (string path in paths)
            {
                if (PrepareFile(path, size, allThere))
                {
                    made.Add(path);
                }
            }

            return action();
        }
        catch
        {
            made.ForEach(File.Delete);
            throw;
        }
    }

    /// <summary>Opens a device that is to join a pool: one that belongs to none, and is large enough.</summary>
    internal static FileVdevIo OpenNew(string path)
    {
        FileVdevIo io = FileVdevIo.Open(path, readOnly: false);
        try
        {
            CheckDevice(io);
            return io;
        }
        catch
        {
            io.Dispose();
            throw;
        }
    }

    /// <summary>True if a file was made.</summary>
    private static bool PrepareFile(string path, long? size, bool allThere)
    {
        switch (Native.KindOf(path))
        {
            case FileKind.None:
                return MakeFile(path, size ?? throw new CliException($"{path} does not exist", "to make a file of that name, add --size 1G"));
            case FileKind.Block when size is not null && allThere:
                throw new CliException($"{path} is a block device: it has its size", "leave --size out", ExitCode.Usage);
            case FileKind.Regular when size is { } wanted && new FileInfo(path).Length != wanted:
                throw new CliException($"{path} exists already, with {ByteSize.Format(new FileInfo(path).Length)}", "leave --size out, or remove the file");
            case FileKind.Regular or FileKind.Block:
                return false;
            default:
                throw new CliException($"{path} is neither a file nor a block device");
        }
    }

    private static bool MakeFile(string path, long size)
    {
        if (size < CreateCommand.DeviceBytesMin)
        {
            throw TooSmall(path, size);
        }

        try
        {
            using FileStream file = new(path, FileMode.CreateNew, FileAccess.Write);
            file.SetLength(size);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"cannot make {path}: {CliException.OneLine(e.Message)}");
        }
    }

    private static void CheckDevice(FileVdevIo io)
    {
        if (io.Size < CreateCommand.DeviceBytesMin)
        {
            throw TooSmall(io.Path, io.Size);
        }

        if (VdevLabel.Scan(io).Config is { State: not PoolState.Destroyed, Txg: not 0 } config)
        {
            throw new CliException(
                $"{io.Path} holds the pool '{config.Name}'", io.IsBlockDevice ? $"if it may be lost, type: wipefs -a {io.Path}" : $"if it may be lost, type: rm {io.Path}");
        }
    }

    private static CliException TooSmall(string path, long size) =>
        new($"{path} with {ByteSize.Format(size)} is too small for a pool", $"{ByteSize.Format(CreateCommand.DeviceBytesMin)} is the least");

    private static PoolCreateOptions Options(string pool, int logs, int ashift, IReadOnlyDictionary<string, string> values) => new()
    {
        Name = pool,
        LogDevices = logs,
        Ashift = ashift,
        OwnerUid = Native.GetEUid(),
        OwnerGid = Native.GetEGid(),
        Compression = values.TryGetValue("compression", out string? compression) ? (ZioCompressType)DatasetProperty.Compression.Parse(compression) : null,
        Checksum = values.TryGetValue("checksum", out string? checksum) ? (ZioChecksumType)DatasetProperty.Checksum.Parse(checksum) : null,
        RecordSize = values.TryGetValue("recordsize", out string? recordSize) ? (int)DatasetProperty.RecordSize.Parse(recordSize) : null,
        Atime = values.TryGetValue("atime", out string? atime) ? DatasetProperty.Atime.Parse(atime) != 0 : null,
        Copies = values.TryGetValue("copies", out string? copies) ? (int)DatasetProperty.Copies.Parse(copies) : null,
        Sync = values.TryGetValue("sync", out string? sync) ? (SyncMode)DatasetProperty.Sync.Parse(sync) : null,
        LogBias = values.TryGetValue("logbias", out string? bias) ? (LogBias)DatasetProperty.LogBias.Parse(bias) : null,
    };
}
