using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>Free range entries of a file system: as many exist as were ever held at once.</summary>
internal sealed class RangeLockPool
{
    private readonly Kmutex _mutex = new("zfs_range_pool");
    private RangeLockEntry? _free;

    internal RangeLockEntry Take()
    {
        _mutex.Enter();
        RangeLockEntry? e = _free;
        if (e is not null)
        {
            _free = e.Next;
        }

        _mutex.Exit();
        return e ?? new RangeLockEntry();
    }

    internal void Give(RangeLockEntry e)
    {
        e.Owner = null;
        _mutex.Enter();
        e.Next = _free;
        _free = e;
        _mutex.Exit();
    }
}
