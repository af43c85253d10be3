namespace ZfsLite.Fs;

/// <summary>Which list an unused znode is on.</summary>
internal enum ZnodeList
{
    /// <summary>None: it is in use.</summary>
    None,

    /// <summary>Unused, oldest first.</summary>
    Lru,

    /// <summary>Given up by reclaim, but with an access time to write.</summary>
    Inactive,
}
