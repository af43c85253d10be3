namespace ZfsLite.Fs;

/// <summary>The dataset property sync.</summary>
public enum SyncMode
{
    /// <summary>fsync and synchronous writes wait for stable storage.</summary>
    Standard = 0,

    /// <summary>Every change does.</summary>
    Always = 1,

    /// <summary>None does: a crash may lose the last seconds, never consistency.</summary>
    Disabled = 2,
}
