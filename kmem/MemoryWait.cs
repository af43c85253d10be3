using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>What a thread waits for that needs free pages. Any thread may free some, so it has no owners.</summary>
internal sealed class MemoryWait : IWaitable
{
    internal static readonly MemoryWait Instance = new();

    /// <inheritdoc/>
    public string WaitName => "memory";

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
    }
}
