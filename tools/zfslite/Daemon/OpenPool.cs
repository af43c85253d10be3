using ZfsLite.Fs;

namespace ZfsLite.Cli;

/// <summary>What can be asked of an open pool, whoever opened it.</summary>
internal static class OpenPool
{
    /// <summary>Opens the devices and the pool on them. On failure everything is closed again.</summary>
    internal static Spa Open(IReadOnlyList<string> devices, bool readOnly)
    {
        var opened = new List<IVdevIo>();
        try
        {
            opened.AddRange(devices.Select(d => FileVdevIo.Open(d, readOnly)));
            return Spa.Open(opened, new SpaOpenOptions { ReadOnly = readOnly });
        }
        catch
        {
            opened.ForEach(static d => d.Dispose());
            throw;
        }
    }

    /// <summary>State and space.</summary>
    internal static StatusInfo Status(Spa spa) => new()
    {
        Pool = spa.Name,
        Guid = spa.Guid.ToString("x16"),
        State = spa.IsSuspended ? $"suspended: {spa.SuspendReason}" : "online",
        ReadOnly = spa.ReadOnlyReason,
        Version = (long)spa.Version,
        Devices = [.. spa.Vdevs.Select(static v => v.Io.Path)],
        Txg = spa.Uberblock.Txg,
        Size = spa.TotalBytes,
        Allocated = spa.Allocator.AllocatedBytes,
        Free = spa.TotalBytes - spa.Allocator.AllocatedBytes,
        ChecksumErrors = spa.ChecksumErrors,
    };

    /// <summary>Every dataset and snapshot.</summary>
    internal static List<DatasetRow> List(Spa spa) => [.. spa.ListDatasets().Select(static d => new DatasetRow
    {
        Name = d.Name,
        Type = d.IsSnapshot ? "snapshot" : "filesystem",
        Used = (long)d.Used,
        Available = d.IsSnapshot ? null : (long)d.Available,
        Referenced = (long)d.Referenced,
    })];

    /// <summary>Properties of a dataset, those that can be set and those that cannot.</summary>
    internal static List<PropertyRow> Get(Spa spa, string? dataset, IReadOnlyList<string> names)
    {
        string full = DatasetName.Full(spa.Name, dataset);
        DatasetInfo info = spa.ListDatasets().FirstOrDefault(d => d.Name == full)
            ?? throw new CliException($"there is no dataset {full}", $"see what there is: zfslite list {spa.Name}");
        var fixedOnes = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["available"] = info.IsSnapshot ? "-" : ByteSize.Format((long)info.Available),
            ["compressratio"] = info.CompressRatio.ToString("F2") + "x",
            ["creation"] = DateTimeOffset.FromUnixTimeSeconds((long)Math.Min(info.CreationTime, 253402300799)).ToString("yyyy-MM-dd HH:mm:ss"),
            ["referenced"] = ByteSize.Format((long)info.Referenced),
            ["type"] = info.IsSnapshot ? "snapshot" : "filesystem",
            ["used"] = ByteSize.Format((long)info.Used),
        };
        var rows = new List<PropertyRow>();
        foreach (string name in names.Count > 0 ? names : [.. Spa.PropertyNames.Concat(fixedOnes.Keys).Order(StringComparer.Ordinal)])
        {
            if (fixedOnes.TryGetValue(name, out string? text))
            {
                rows.Add(new PropertyRow { Dataset = full, Property = name, Value = text });
                continue;
            }

            (string value, string source) = spa.GetProperty(full, name);
            rows.Add(new PropertyRow { Dataset = full, Property = name, Value = value, Source = source is "default" or "local" ? source : $"inherited from {source}" });
        }

        return rows;
    }

    /// <summary>Sets properties; all values are checked before the first is stored.</summary>
    internal static void Set(Spa spa, string? dataset, IReadOnlyDictionary<string, string> values)
    {
        string full = DatasetName.Full(spa.Name, dataset);
        var checkedValues = values.Select(v => (v.Key, Value: PropertyText.Normalise(v.Key, v.Value))).ToList();
        checkedValues.ForEach(v => spa.SetProperty(full, v.Key, v.Value));
    }
}
