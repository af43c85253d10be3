namespace ZfsLite.Fs;

/// <summary>A dataset of a pool: a file system's head, or a snapshot.</summary>
public sealed class OfflineDataset
{
    /// <summary>Full name: pool/a/b, pool/a@s.</summary>
    public required string Name { get; init; }

    /// <summary>Its object in the MOS.</summary>
    public required ulong Object { get; init; }

    /// <summary>Its directory's object.</summary>
    public required ulong DirObject { get; init; }

    /// <summary>True for a snapshot.</summary>
    public required bool IsSnapshot { get; init; }

    /// <summary>The fields.</summary>
    public required DslDatasetPhys Phys { get; init; }

    /// <summary>True for the one that nobody mounts.</summary>
    public bool IsInternal => Name.Contains('$', StringComparison.Ordinal);
}
