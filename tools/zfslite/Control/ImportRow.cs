namespace ZfsLite.Cli;

/// <summary>A line of <c>import --list</c>: a pool found in a directory.</summary>
public sealed class ImportRow
{
    /// <summary>Name of the pool.</summary>
    public string Pool { get; set; } = "";

    /// <summary>Guid, hexadecimal.</summary>
    public string Guid { get; set; } = "";

    /// <summary>active, exported or destroyed; or what keeps it from being opened.</summary>
    public string State { get; set; } = "";

    /// <summary>Pool version.</summary>
    public long Version { get; set; }

    /// <summary>Last txg of the labels.</summary>
    public ulong Txg { get; set; }

    /// <summary>Files and devices it was found on.</summary>
    public List<string> Devices { get; set; } = [];

    /// <summary>Those of them that are for the intent log.</summary>
    public List<string> LogDevices { get; set; } = [];

    /// <summary>Devices of the pool that were not found, each with its number, recorded path and guid.</summary>
    public List<string> Missing { get; set; } = [];

    /// <summary>One device of each vdev that was found.</summary>
    internal SortedDictionary<ulong, string> ByVdev { get; } = [];

    /// <summary>Vdevs of the pool; 0 if that is not known.</summary>
    internal int VdevCount { get; set; }
}
