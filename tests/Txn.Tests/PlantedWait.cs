using ZfsLite.Kmem.Spl;

namespace ZfsLite.Tests.Txn;

/// <summary>A wait whose owners the test chooses and which the test can end: a deadlock that can be cleaned up.</summary>
internal sealed class PlantedWait(string name, params Kthread?[] owners) : IWaitable
{
    private readonly Kmutex _lock = new("planted " + name);
    private readonly Kcondvar _cv = new("planted " + name);
    private bool _over;

    public Kthread?[] Owners { get; } = owners;

    public string WaitName => name;

    public void CollectOwners(ICollection<Kthread> owners)
    {
        foreach (Kthread? t in Owners)
        {
            if (t is not null)
            {
                owners.Add(t);
            }
        }
    }

    public void Wait()
    {
        _lock.Enter();
        while (!_over)
        {
            _cv.Wait(_lock, this);
        }

        _lock.Exit();
    }

    public void End()
    {
        _lock.Enter();
        _over = true;
        _cv.Broadcast();
        _lock.Exit();
    }
}
