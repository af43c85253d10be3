namespace ZfsLite.Cli;

/// <summary>A line of <c>kmem get</c>.</summary>
public sealed class KmemTunableRow
{
    /// <summary>Name of the cache.</summary>
    public string Cache { get; set; } = "";

    /// <summary>Name of the attribute, as in /sys/kernel/slab.</summary>
    public string Attribute { get; set; } = "";

    /// <summary>Its value; empty for one that can only be written.</summary>
    public string Value { get; set; } = "";

    /// <summary>Can it be set?</summary>
    public bool Writable { get; set; }
}
