namespace ZfsLite.Kmem.Spl;

/// <summary>A wait that may last: a worker waits for work, a timer for its time. Make it once and keep it.</summary>
public sealed class IdleWait(string name) : IWaitable
{
    /// <inheritdoc/>
    public string WaitName => name;

    /// <inheritdoc/>
    public bool IsIdle => true;

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
    }
}
