namespace ZfsLite.Cli;

/// <summary>A question to a daemon: one JSON object on one line.</summary>
public sealed class ControlRequest
{
    /// <summary>hello, status, list, get, set, add_log, remove_log, kmem, kmem_slab, kmem_leaks, kmem_get, kmem_set, txgs, sync, clear, remount or unmount.</summary>
    public string Command { get; set; } = "";

    /// <summary>Dataset concerned; null: the one that is mounted.</summary>
    public string? Dataset { get; set; }

    /// <summary>kmem_get, kmem_set: the slab cache concerned.</summary>
    public string? Cache { get; set; }

    /// <summary>get: the properties wanted; kmem_get: the attributes; empty: all. add_log, remove_log: devices.</summary>
    public List<string> Names { get; set; } = [];

    /// <summary>set, kmem_set: the new values.</summary>
    public Dictionary<string, string> Values { get; set; } = new(StringComparer.Ordinal);

    /// <summary>False if JSON has put a null where the types promise none.</summary>
    internal bool IsWhole => Command is not null && Names is not null && !Names.Contains(null!) && Values is not null && !Values.ContainsValue(null!);

    /// <summary>remount: options as after -o.</summary>
    public string? Options { get; set; }
}
