using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>A committer waits for the one who writes the log.</summary>
internal sealed class ZilCommitWait : IWaitable
{
    internal Kthread? Writer;

    /// <inheritdoc/>
    public string WaitName => "intent log being written";

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        if (Writer is { } writer)
        {
            owners.Add(writer);
        }
    }
}
