using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Counts the handles open for writing per object: while there is one, the kernel may hold dirty pages that this side has
/// not seen (it writes them out before the last RELEASE).
/// </summary>
internal sealed class FuseWriters
{
    private readonly Kmutex _mutex = new("fuse_writers");
    private readonly Dictionary<ulong, int> _counts = [];

    internal void Add(ulong obj)
    {
        _mutex.Enter();
        _counts[obj] = _counts.GetValueOrDefault(obj) + 1;
        _mutex.Exit();
    }

    internal void Remove(ulong obj)
    {
        _mutex.Enter();
        int count = _counts.GetValueOrDefault(obj);
        if (count > 1)
        {
            _counts[obj] = count - 1;
        }
        else
        {
            _counts.Remove(obj);
        }

        _mutex.Exit();
    }

    internal bool Contains(ulong obj)
    {
        _mutex.Enter();
        bool found = _counts.ContainsKey(obj);
        _mutex.Exit();
        return found;
    }
}
