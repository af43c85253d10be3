namespace ZfsLite.Fs;

/// <summary>When a read updates the access time.</summary>
public enum AtimeMode
{
    /// <summary>Never.</summary>
    Off,

    /// <summary>When not later than mtime or ctime, or a day old.</summary>
    Relatime,

    /// <summary>Always.</summary>
    On,
}
