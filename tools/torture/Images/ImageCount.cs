namespace ZfsLite.Torture;

/// <summary>What is counted over images.</summary>
internal enum ImageCount
{
    /// <summary>Images tried.</summary>
    Images,

    /// <summary>Images that the offline reader opened.</summary>
    ReadOffline,

    /// <summary>Of these, those in which check found something.</summary>
    Found,

    /// <summary>Images that opened as a pool.</summary>
    Opened,

    /// <summary>File systems that mounted.</summary>
    Mounted,

    /// <summary>Pools that suspended while they were written.</summary>
    Suspended,

    /// <summary>Calls of the file system that were made.</summary>
    Calls,

    /// <summary>Of these, those that gave an error.</summary>
    Errors,

    /// <summary>Names listed.</summary>
    Names,
}
