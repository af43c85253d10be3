using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// A worker waits until its block is the next to be placed and a scratch buffer of the pool is free: the workers that prepare earlier
/// blocks have to finish, and the threads that write them.
/// </summary>
internal sealed class ZioTurnWait(Taskq workers, Taskq[] issuers) : IWaitable
{
    /// <inheritdoc/>
    public string WaitName => "its block's turn to be compressed, memory being short";

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        var running = new List<Kthread>();
        workers.CollectOwners(running);
        foreach (Taskq issuer in issuers)
        {
            issuer.CollectOwners(running);
        }

        foreach (Kthread t in running)
        {
            if (!ReferenceEquals(t.WaitingFor, this))
            {
                owners.Add(t);
            }
        }
    }
}
