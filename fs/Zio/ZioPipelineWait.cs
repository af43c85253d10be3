using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The sync thread waits for its blocks: every thread that works on one has to finish before the txg can be written, so each of
/// them is needed.
/// </summary>
internal sealed class ZioPipelineWait(Taskq workers, Taskq[] issuers) : IWaitable
{
    /// <inheritdoc/>
    public string WaitName => "blocks of the txg to be prepared and written";

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        workers.CollectOwners(owners);
        foreach (Taskq issuer in issuers)
        {
            issuer.CollectOwners(owners);
        }
    }
}
