namespace ZfsLite.Cli;

/// <summary>A line of <c>get</c>.</summary>
public sealed class PropertyRow
{
    /// <summary>Full name of the dataset.</summary>
    public string Dataset { get; set; } = "";

    /// <summary>Name of the property.</summary>
    public string Property { get; set; } = "";

    /// <summary>Its value.</summary>
    public string Value { get; set; } = "";

    /// <summary>"default", "local", "inherited from NAME", or "-" for what cannot be set.</summary>
    public string Source { get; set; } = "-";
}
