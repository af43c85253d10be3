using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>Blocks that are being written before their txg: the sync thread waits for one that it comes to. One at a time, by the thread that writes the log.</summary>
internal sealed unsafe class WritesNow : IWaitable
{
    private readonly Kmutex _mutex = new("dr_written");
    private readonly Kcondvar _done = new("dr_written");
    private Kthread? _writer;

    /// <inheritdoc/>
    public string WaitName => "block being written for the intent log";

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        if (_writer is { } writer)
        {
            owners.Add(writer);
        }
    }

    internal void Begin(int* flag)
    {
        _mutex.Enter();
        _writer = Kthread.Current;
        *flag = 1;
        _mutex.Exit();
    }

    internal void End(int* flag)
    {
        _mutex.Enter();
        _writer = null;
        *flag = 0;
        _done.Broadcast();
        _mutex.Exit();
    }

    /// <summary>Waits until a block is written. The caller holds nothing.</summary>
    internal void Wait(int* flag)
    {
        _mutex.Enter();
        while (*flag != 0)
        {
            _done.Wait(_mutex, this);
        }

        _mutex.Exit();
    }
}
