namespace ZfsLite.NfsHold;

/// <summary>The server refused an operation.</summary>
internal sealed class Nfs4Exception(uint status, uint operation) : Exception
{
    /// <summary>As RFC 7530 numbers them.</summary>
    internal uint Status => status;

    /// <inheritdoc/>
    public override string Message => status switch
    {
        70 => "NFS4ERR_STALE",
        10011 => "NFS4ERR_EXPIRED",
        10013 => "NFS4ERR_GRACE",
        10022 => "NFS4ERR_STALE_CLIENTID",
        10023 => "NFS4ERR_STALE_STATEID",
        10025 => "NFS4ERR_BAD_STATEID",
        10033 => "NFS4ERR_NO_GRACE",
        _ => $"status {status}",
    } + $" to operation {operation}";
}
