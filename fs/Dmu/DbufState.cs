namespace ZfsLite.Fs;

/// <summary>What a <see cref="Dbuf"/> holds.</summary>
internal enum DbufState
{
    /// <summary>No buffer.</summary>
    Uncached,

    /// <summary>The current contents.</summary>
    Cached,

    /// <summary>Only the name is remembered, in a ghost list of the ARC.</summary>
    Ghost,
}
