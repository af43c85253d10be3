using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.TestKit;

/// <summary>While it lives, ordinary allocations of chosen threads fail, and those that may sleep stall. The memory must have been set
/// up with <see cref="KmemOptions.FaultPoints"/>.</summary>
public sealed class AllocationFault : IDisposable
{
    private readonly KmemSystem _system = KmemSystem.Current;

    /// <summary>Begins.</summary>
    /// <param name="threads">Which threads; asked in the thread itself.</param>
    public AllocationFault(Func<Kthread, bool> threads)
    {
        if (!_system.Options.FaultPoints)
        {
            throw new InvalidOperationException("no fault points: see KmemOptions.FaultPoints");
        }

        _system.Faults.Threads = threads;
    }

    /// <summary>Allocations that failed at once, since the memory was set up.</summary>
    public long Failed => _system.Faults.Failed;

    /// <summary>Allocations that stalled.</summary>
    public long Stalled => _system.Faults.Stalled;

    /// <inheritdoc/>
    public void Dispose() => _system.Faults.Threads = null;
}
