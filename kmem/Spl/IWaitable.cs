namespace ZfsLite.Kmem.Spl;

/// <summary>
/// Something that a thread can wait for: a lock, a condition, a txg to open, dirty space, memory. It knows who can end the
/// wait, so that the wait-for graph of all blocked threads can be drawn and a cycle in it proven.
/// </summary>
public interface IWaitable
{
    /// <summary>What is waited for, in a few words ("mutex zfs_znode", "txg 12 to open").</summary>
    string WaitName { get; }

    /// <summary>
    /// Adds every thread that must act before the wait can end. Called with no lock held, on a best-effort snapshot. A
    /// waitable that any of several threads may end adds none unless all of them are needed: an edge claims "can't go on without".
    /// </summary>
    void CollectOwners(ICollection<Kthread> owners);

    /// <summary>True if a long wait here is normal (a worker without work): no stack is recorded, no watchdog barks.</summary>
    bool IsIdle => false;

    /// <summary>True if the world outside the process must end it (a device that has to answer): a long wait is worth a report, though no thread is named.</summary>
    bool IsOutside => false;
}
