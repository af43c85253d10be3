using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Files that a rename has replaced. The kernel answers a path from its own names until the rename is answered, and may open
/// the old file by number after that: gone by then, a name that is there at every moment would be told not to be. So a replaced
/// file stays, as if open, until the kernel forgets it, which it does once nobody uses it. At most <see cref="ReplacedMax"/> stay;
/// then the oldest goes.
/// </summary>
public sealed unsafe partial class Zfsvfs
{
    private const int ReplacedMax = 64;

    private readonly Kmutex _replacedMutex = new("zfs_replaced");
    private readonly ulong[] _replaced = new ulong[ReplacedMax];
    private int _replacedCount;

    /// <summary>Somebody calls <see cref="Forget"/>: replaced files may wait for it.</summary>
    public bool KeepsReplaced { get; set; }

    /// <summary>The kernel has forgotten an object: nothing it may still ask for depends on it.</summary>
    public void Forget(ulong obj)
    {
        if (Katomic.Load(ref _replacedCount) == 0)
        {
            return;
        }

        _replacedMutex.Enter();
        int at = _replaced.AsSpan(0, _replacedCount).IndexOf(obj);
        if (at >= 0)
        {
            RemoveReplaced(at);
        }

        _replacedMutex.Exit();
        if (at >= 0)
        {
            Close(obj);
        }
    }

    /// <summary>Keeps a file that has lost its last name, and which the caller has opened for this. Returns the one to be closed for it, or 0.</summary>
    private ulong KeepReplaced(ulong obj)
    {
        _replacedMutex.Enter();
        ulong oldest = 0;
        if (_replacedCount == ReplacedMax)
        {
            oldest = _replaced[0];
            RemoveReplaced(0);
        }

        _replaced[_replacedCount] = obj;
        _replacedCount++;
        _replacedMutex.Exit();
        return oldest;
    }

    /// <summary>At unmount.</summary>
    private void ReleaseReplaced()
    {
        while (_replacedCount > 0)
        {
            Forget(_replaced[0]);
        }
    }

    private void RemoveReplaced(int at)
    {
        _replaced.AsSpan(at + 1, _replacedCount - at - 1).CopyTo(_replaced.AsSpan(at));
        _replacedCount--;
    }
}
