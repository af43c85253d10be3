namespace ZfsLite.Fs;

/// <summary>Answers requests. Called by many workers at once.</summary>
public interface IFuseHandler
{
    /// <summary>
    /// True if the request may have to wait for a transaction group or for the write throttle. Such requests never occupy
    /// all workers.
    /// </summary>
    bool MayWaitForTxg(FuseRequest request);

    /// <summary>
    /// True if the request can only be answered when the kernel has sent pages that it holds (<see cref="FuseRequest.FlushPages"/>).
    /// </summary>
    bool NeedsPages(FuseRequest request);

    /// <summary>Handles one request and replies to it, unless its kind has no reply. Never throws.</summary>
    /// <returns>False: the request has left (<see cref="FuseRequest.TryLeave"/>); it is not the caller's any more, and may have been answered.</returns>
    bool Handle(FuseRequest request);
}
