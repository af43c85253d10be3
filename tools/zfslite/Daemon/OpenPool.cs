using System.Globalization;
using ZfsLite.Cli.Posix;
using ZfsLite.Fs;

namespace ZfsLite.Cli;

/// <summary>What can be asked of an open pool, whoever opened it.</summary>
internal static class OpenPool
{
    /// <summary>The properties that cannot be set.</summary>
    private static readonly SortedDictionary<string, Func<DatasetInfo, string>> s_fixed = new(StringComparer.Ordinal)
    {
        ["available"] = static d => d.IsSnapshot ? "-" : ByteSize.Format((long)d.Available),
        ["compressratio"] = static d => d.CompressRatio.ToString("F2") + "x",
        ["creation"] = static d => DateTimeOffset.FromUnixTimeSeconds((long)Math.Min(d.CreationTime, 253402300799)).ToString("yyyy-MM-dd HH:mm:ss"),
        ["referenced"] = static d => ByteSize.Format((long)d.Referenced),
        ["type"] = static d => d.IsSnapshot ? "snapshot" : "filesystem",
        ["used"] = static d => ByteSize.Format((long)d.Used),
    };

    /// <summary>Opens the devices and the pool on them. On failure everything is closed again.</summary>
    internal static Spa Open(IReadOnlyList<string> devices, bool readOnly, bool withoutLog)
    {
        List<IVdevIo> opened = OpenDevices(devices, readOnly);
        try
        {
            return Spa.Open(opened, new SpaOpenOptions { ReadOnly = readOnly, WithoutLog = withoutLog });
        }
        catch
        {
            opened.ForEach(static d => d.Dispose());
            throw;
        }
    }

    /// <summary>Opens devices, all or none. One that is named twice, by whatever path, is refused.</summary>
    internal static List<IVdevIo> OpenDevices(IReadOnlyList<string> devices, bool readOnly)
    {
        RefuseTwice(devices);
        var opened = new List<IVdevIo>();
        try
        {
            opened.AddRange(devices.Select(d => FaultyVdevIo.Wrap(FileVdevIo.Open(d, readOnly))));
            return opened;
        }
        catch
        {
            opened.ForEach(static d => d.Dispose());
            throw;
        }
    }

    /// <summary>Refuses a list of devices in which one stands twice, under whatever paths. Devices that do not exist yet count by path.</summary>
    internal static void RefuseTwice(IReadOnlyList<string> devices)
    {
        var seen = new Dictionary<object, string>();
        foreach (string device in devices)
        {
            object identity = Native.IdentityOf(device) is { } there ? there : device;
            if (!seen.TryAdd(identity, device))
            {
                string first = seen[identity];
                throw new CliException(first == device ? $"{device} is given twice" : $"{device} and {first} are the same device", "name each device once");
            }
        }
    }

    /// <summary>State and space.</summary>
    internal static StatusInfo Status(Spa spa) => new()
    {
        Pool = spa.Name,
        Guid = spa.Guid.ToString("x16"),
        State = spa.HasFailed ? "FAILED" : spa.IsSuspended ? "SUSPENDED" : "online",
        Suspended = SuspensionText(spa),
        IoErrors = spa.Suspension.Errors is var (reads, writes, flushes) ? reads + writes + flushes : 0,
        ReadOnly = spa.ReadOnlyReason,
        Version = (long)spa.Version,
        Devices = [.. spa.Vdevs.Where(static v => !v.IsLog).Select(static v => v.Io.Path)],
        LogDevices = [.. spa.Vdevs.Where(static v => v.IsLog).Select(static v => v.Io.Path)],
        Warnings = [.. spa.Vdevs.Where(static v => v.Fault is not null).Select(v => FaultText(spa, v)), .. spa.MissingLogs.Select(v => $"log device {v.Path} (guid {v.Guid:x16}) is missing; to do without it for good: zfslite remove {spa.Name} {v.Path}")],
        Txg = spa.Uberblock.Txg,
        Size = spa.TotalBytes,
        Allocated = spa.Allocator.AllocatedBytes,
        Free = spa.TotalBytes - spa.Allocator.AllocatedBytes,
        ChecksumErrors = spa.ChecksumErrors,
    };

    /// <summary>Why a pool can't be written, since when, and the way out; null if it can.</summary>
    internal static string? SuspensionText(Spa spa)
    {
        if (spa.HasFailed)
        {
            return $"{spa.SuspendReason}; unmount it: it opens as it was last synced, at txg {spa.Uberblock.Txg}";
        }

        PoolSuspension s = spa.Suspension;
        if (s.Reason is not { } reason)
        {
            return null;
        }

        DateTimeOffset since = DateTimeOffset.FromUnixTimeSeconds(s.SinceSeconds);
        string way = s.Final is { } final ? $"{final}; unmount it: it opens as it was last synced, at txg {spa.Uberblock.Txg}" : $"mend the device, then type: zfslite clear {spa.Name}";
        return string.Create(CultureInfo.InvariantCulture, $"{reason}, since {since:yyyy-MM-dd HH:mm:ss} UTC ({s.AgeNs / 1_000_000_000} s); {way}");
    }

    /// <summary>How a log device has failed, what that means, and the ways out.</summary>
    private static string FaultText(Spa spa, Vdev log) =>
        $"log device {log.Io.Path} has failed ({log.Fault}): the intent log is written to the data devices, and nothing is lost; mend it and type: zfslite clear {spa.Name}, or take it out: zfslite remove {spa.Name} {log.Io.Path}";

    /// <summary>Gives the pool log devices, one after the other.</summary>
    internal static void AddLog(Spa spa, IReadOnlyList<string> devices)
    {
        RefuseTwice(devices);
        foreach (string device in devices)
        {
            spa.AddLogDevice(PoolCreator.OpenNew(device));
        }
    }

    /// <summary>Every dataset and snapshot.</summary>
    internal static List<DatasetRow> List(Spa spa) => [.. spa.ListDatasets().Select(static d => new DatasetRow
    {
        Name = d.Name,
        Type = d.IsSnapshot ? "snapshot" : "filesystem",
        Used = (long)d.Used,
        Available = d.IsSnapshot ? null : (long)d.Available,
        Referenced = (long)d.Referenced,
    })];

    /// <summary>True for the name of a property.</summary>
    internal static bool IsProperty(string word) => word == "all" || Spa.PropertyNames.Contains(word) || Spa.LimitNames.Contains(word) || PropertyText.ParseUser(word) is not null
        || s_fixed.ContainsKey(word);

    /// <summary>Properties of a dataset, those that can be set and those that cannot.</summary>
    internal static List<PropertyRow> Get(Spa spa, string? dataset, IReadOnlyList<string> names)
    {
        string full = DatasetName.Full(spa.Name, dataset);
        DatasetInfo info = spa.ListDatasets().FirstOrDefault(d => d.Name == full)
            ?? throw new CliException($"there is no dataset {full}", $"see what there is: zfslite list {spa.Name}");
        var rows = new List<PropertyRow>();
        foreach (string name in names.Count > 0 ? names : [.. Spa.PropertyNames.Concat(Spa.LimitNames).Concat(s_fixed.Keys).Order(StringComparer.Ordinal)])
        {
            if (s_fixed.TryGetValue(name, out Func<DatasetInfo, string>? text))
            {
                rows.Add(new PropertyRow { Dataset = full, Property = name, Value = text(info) });
                continue;
            }

            if (LimitOf(spa, full, name) is { } bytes)
            {
                bool given = bytes != 0 && PropertyText.IsLimit(name);
                rows.Add(new PropertyRow { Dataset = full, Property = name, Value = PropertyText.ParseUser(name) is { IsUsed: true } ? ByteSize.Format((long)bytes) : PropertyText.FormatLimit(bytes), Source = given ? "local" : "-" });
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
        foreach ((string name, string value) in checkedValues)
        {
            if (PropertyText.ParseUser(name) is { } user)
            {
                spa.SetUserQuota(full, user.IsGroup, user.Id, PropertyText.LimitBytes(value));
            }
            else if (PropertyText.IsLimit(name))
            {
                spa.SetLimit(full, name, PropertyText.LimitBytes(value));
            }
            else
            {
                spa.SetProperty(full, name, value);
            }
        }
    }

    /// <summary>Bytes of a quota or reservation, or of what a user or group uses; null if the name is none of these.</summary>
    private static ulong? LimitOf(Spa spa, string dataset, string name) =>
        Spa.LimitNames.Contains(name) ? spa.GetLimit(dataset, name)
        : PropertyText.ParseUser(name) is not { } user ? null
        : user.IsUsed ? spa.GetUserUsed(dataset, user.IsGroup, user.Id)
        : spa.GetUserQuota(dataset, user.IsGroup, user.Id);
}
