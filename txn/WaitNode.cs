using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>A thread as the wait-for graph saw it.</summary>
public sealed class WaitNode
{
    internal WaitNode(Kthread thread)
    {
        // The three reads are not one: a wait that changes in between is seen as running.
        IWaitable? waitable = thread.WaitingFor;
        long since = thread.WaitSinceNs;
        if (!ReferenceEquals(waitable, thread.WaitingFor) || since != thread.WaitSinceNs)
        {
            waitable = null;
        }

        Thread = thread;
        Waitable = waitable;
        SinceNs = waitable is null ? 0 : since;
        WaitsFor = waitable?.WaitName;
        Stack = waitable is null ? null : StackText.Clean(thread.WaitStack);
        Marks = thread.Flags;
        HeldTxgs = TxThreadState.HeldTxgs(thread);
        HeldLocks = [.. thread.HeldLocks().Where(static l => !ReferenceEquals(l, DmuTx.OpenTxClass)).Select(static l => l.WaitName)];
    }

    /// <summary>Name of the thread.</summary>
    public string Name => Thread.Name;

    /// <summary>Number of the thread.</summary>
    public int Id => Thread.Id;

    /// <summary>Its marks.</summary>
    public ThreadFlags Marks { get; }

    /// <summary>What it waits for; null while it runs.</summary>
    public string? WaitsFor { get; }

    /// <summary>Since when, <see cref="Kclock.NowNs"/>; 0 while it runs.</summary>
    public long SinceNs { get; }

    /// <summary>Its managed stack, if the wait has lasted long enough to be recorded.</summary>
    public string? Stack { get; }

    /// <summary>The txgs it holds assigned transactions in.</summary>
    public IReadOnlyList<ulong> HeldTxgs { get; }

    /// <summary>The locks it holds, oldest first.</summary>
    public IReadOnlyList<string> HeldLocks { get; }

    /// <summary>True if it waits for something that may last: work, a time, another thread's end.</summary>
    public bool IsIdle => Waitable is { IsIdle: true };

    internal Kthread Thread { get; }

    internal IWaitable? Waitable { get; }

    /// <inheritdoc/>
    public override string ToString() => Thread.ToString();

    /// <summary>True if both show the same thread in the same wait.</summary>
    internal bool IsSameWait(WaitNode other) =>
        ReferenceEquals(Thread, other.Thread) && Waitable is not null && ReferenceEquals(Waitable, other.Waitable) && SinceNs == other.SinceNs;

    /// <summary>What the thread holds, in words.</summary>
    internal string DescribeHolds()
    {
        var parts = new List<string>();
        if (HeldTxgs.Count > 0)
        {
            parts.Add("a transaction in txg " + string.Join(" and in txg ", HeldTxgs));
        }

        parts.AddRange(HeldLocks);
        return parts.Count == 0 ? "nothing on record" : string.Join(", ", parts);
    }
}
