using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>A place of an <see cref="IoWatch"/>, and what its thread waits for: the device's answer.</summary>
internal sealed class IoWait(string path) : IWaitable
{
    /// <summary>Since when, nanoseconds; the lowest two bits: what. 0: free.</summary>
    internal long Word;
    internal long Offset;
    internal long Length;

    /// <inheritdoc/>
    public string WaitName => (IoKind)(Katomic.Load(ref Word) & 3) switch
    {
        IoKind.Flush => $"a flush of {path}",
        IoKind.Write => $"a write to {path}, {Length} bytes at {Offset}",
        _ => $"a read of {path}, {Length} bytes at {Offset}",
    };

    /// <inheritdoc/>
    public bool IsOutside => true;

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
    }
}
