namespace ZfsLite.Fs;

/// <summary>Has the kernel send the pages of a file that were written and that this side has not seen.</summary>
public interface IFusePageFlusher
{
    /// <summary>
    /// Returns when every page that was dirty at the call has been sent and answered. One caller at a time, no worker of the
    /// session among them: it is workers that answer.
    /// </summary>
    /// <param name="nodeId">The kernel's number of a file that somebody has open.</param>
    /// <param name="generation">Its generation.</param>
    /// <returns>False if that can't be had, or a page was refused.</returns>
    bool Flush(ulong nodeId, ulong generation);
}
