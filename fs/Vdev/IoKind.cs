namespace ZfsLite.Fs;

/// <summary>What is asked of a device.</summary>
public enum IoKind
{
    /// <summary>A read.</summary>
    Read,

    /// <summary>A write.</summary>
    Write,

    /// <summary>A flush.</summary>
    Flush,
}
