namespace ZfsLite.Cli.Posix;

/// <summary>What a path leads to.</summary>
internal enum FileKind
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>A regular file.</summary>
    Regular,

    /// <summary>A directory.</summary>
    Directory,

    /// <summary>A block device.</summary>
    Block,

    /// <summary>Something else.</summary>
    Other,
}
