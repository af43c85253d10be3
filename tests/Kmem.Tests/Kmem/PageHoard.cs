using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

/// <summary>A shrinker that holds pages, gives them back when asked, and remembers how it was asked.</summary>
internal sealed unsafe class PageHoard(string name = "hoard") : IShrinker
{
    private readonly Stack<nint> _held = new();
    private readonly Kmutex _lock = new("test_hoard");

    public string Name => name;

    public int Held => _held.Count;

    /// <summary>Called in Scan, before anything is freed.</summary>
    public Action<ShrinkControl, long>? OnScan { get; set; }

    /// <summary>Gives nothing back unless the file system may be entered.</summary>
    public bool NeedsFs { get; set; }

    /// <summary>Gives kswapd nothing, so that it can't be faster than the thread under test.</summary>
    public bool IgnoresKswapd { get; set; }

    public List<(ShrinkControl Control, Kthread Thread)> Calls { get; } = [];

    /// <summary>Takes single pages until only so many are free.</summary>
    public void FillTo(KmemSystem system, int freePages)
    {
        while (system.Pages.FreePages > freePages)
        {
            Take(system);
        }
    }

    public void Take(KmemSystem system)
    {
        int page = system.Pages.Nodes[0].TryAlloc(1, 0);
        if (page < 0)
        {
            throw new InvalidOperationException("no page for the hoard");
        }

        system.Mapping.Pages[page].Kind = PageKind.Large;
        _held.Push(page);
    }

    public void Drop(KmemSystem system, int pages = int.MaxValue)
    {
        while (pages-- > 0 && _held.TryPop(out nint page))
        {
            system.Pages.Free((int)page, 1);
        }
    }

    public long Count(in ShrinkControl control) =>
        (NeedsFs && !control.MayEnterFs) || (IgnoresKswapd && control.IsKswapd) ? 0 : _held.Count;

    public long Scan(in ShrinkControl control, long toScan)
    {
        if (!_lock.TryEnter())
        {
            return IShrinker.Stop;
        }

        Calls.Add((control, Kthread.Current));
        OnScan?.Invoke(control, toScan);
        long freed = 0;
        while (freed < toScan && _held.TryPop(out nint page))
        {
            KmemSystem.Current.Pages.Free((int)page, 1);
            freed++;
        }

        _lock.Exit();
        return freed;
    }
}
