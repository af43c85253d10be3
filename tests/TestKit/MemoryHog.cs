using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.TestKit;

/// <summary>
/// Everybody else: a thread that takes every page an ordinary allocation may have, down to the min watermark, as soon as it is
/// free, and gives none back before the end. No shrinker knows of what it holds.
/// </summary>
public sealed class MemoryHog : IDisposable
{
    private const long PauseNs = 100_000;

    private readonly Stack<int> _held = new();
    private readonly KmemSystem _system = KmemSystem.Current;
    private readonly Kthread _thread;
    private int _stop;
    private int _dry;

    /// <summary>Starts taking.</summary>
    public MemoryHog() => _thread = Kthread.Start("hog", Run);

    /// <summary>Pages held.</summary>
    public int Held => _held.Count;

    /// <summary>Waits until nothing has been left above min for a while.</summary>
    public void WaitUntilFull()
    {
        Katomic.Store(ref _dry, 0);
        while (Katomic.Load(ref _dry) < 10)
        {
            Kthread.Sleep(PauseNs);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Katomic.Store(ref _stop, 1);
        _thread.Join();
        while (_held.TryPop(out int page))
        {
            _system.Pages.Free(page, 1);
        }
    }

    private void Run()
    {
        Kthread self = Kthread.Current;
        GfpMask mask = Gfp.Convert(KmFlags.NoSleep, KmemPolicy.Fstrans, self.Flags);
        while (Katomic.Load(ref _stop) == 0)
        {
            int page = _system.Pages.Try(1, mask, self);
            if (page >= 0)
            {
                _system.Mapping.Pages[page].Kind = PageKind.Large;
                _held.Push(page);
                continue;
            }

            Katomic.Increment(ref _dry);
            Kthread.Sleep(PauseNs);
        }
    }
}
