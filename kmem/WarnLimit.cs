using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>Lets warnings of one kind through, five in sixty seconds (printk_ratelimited). Its lock is a leaf.</summary>
internal sealed class WarnLimit
{
    private const long WindowNs = 60_000_000_000;
    private const int PerWindow = 5;

    private readonly Kmutex _lock = new("kmem_warn");
    private long _windowStartNs = long.MinValue;
    private int _inWindow;

    /// <summary>May this one be said?</summary>
    internal bool Admit()
    {
        long nowNs = Kclock.NowNs;
        _lock.Enter();
        if (_windowStartNs == long.MinValue || nowNs - _windowStartNs >= WindowNs)
        {
            _windowStartNs = nowNs;
            _inWindow = 0;
        }

        bool admitted = _inWindow < PerWindow;
        _inWindow += admitted ? 1 : 0;
        _lock.Exit();
        return admitted;
    }
}
