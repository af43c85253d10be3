namespace ZfsLite.Cli;

/// <summary>Who a daemon is: enough to find it by pool name, device or directory.</summary>
public sealed class HelloInfo
{
    /// <summary>Name of the pool.</summary>
    public string Pool { get; set; } = "";

    /// <summary>Absolute paths of the devices.</summary>
    public List<string> Devices { get; set; } = [];

    /// <summary>Absolute path of the mount point.</summary>
    public string MountPoint { get; set; } = "";

    /// <summary>The mounted dataset.</summary>
    public string Dataset { get; set; } = "";

    /// <summary>Process id.</summary>
    public int Pid { get; set; }
}
