namespace ZfsLite.Txn;

/// <summary>The errno values this layer returns itself.</summary>
internal static class TxErrno
{
    /// <summary>I/O error: the pool is suspended.</summary>
    internal const int EIO = 5;

    /// <summary>No room, and none on its way back.</summary>
    internal const int ENOSPC = 28;

    /// <summary>Not now: wait, then try again.</summary>
    internal const int ERESTART = 85;
}
