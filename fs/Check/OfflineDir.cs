namespace ZfsLite.Fs;

/// <summary>A DSL directory of a pool, with its datasets.</summary>
public sealed class OfflineDir
{
    /// <summary>Full name.</summary>
    public required string Name { get; init; }

    /// <summary>Its object in the MOS.</summary>
    public required ulong Object { get; init; }

    /// <summary>The fields.</summary>
    public required DslDirPhys Phys { get; init; }

    /// <summary>Parent; null at the root.</summary>
    public required OfflineDir? Parent { get; init; }

    /// <summary>Children, in the order of their names.</summary>
    public List<OfflineDir> Children { get; } = [];

    /// <summary>The head; null in $MOS.</summary>
    public OfflineDataset? Head { get; set; }

    /// <summary>Snapshots, oldest first.</summary>
    public List<OfflineDataset> Snapshots { get; } = [];
}
