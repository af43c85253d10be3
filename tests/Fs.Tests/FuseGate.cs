using ZfsLite.Kmem.Spl;

namespace Fs.Tests;

/// <summary>A gate that holds threads until it is opened.</summary>
internal sealed class FuseGate : IDisposable
{
    private readonly Kmutex _mutex = new("test_gate");
    private readonly Kcondvar _opened = new("test_gate");
    private bool _open;
    private int _held;

    public void Dispose() => Open();

    internal void Pass()
    {
        _mutex.Enter();
        _held++;
        while (!_open)
        {
            _opened.Wait(_mutex);
        }

        _mutex.Exit();
    }

    /// <summary>Waits until so many threads have come to the gate.</summary>
    internal void WaitForHeld(int threads)
    {
        while (Katomic.Load(ref _held) < threads)
        {
            Kthread.Sleep(1_000_000);
        }
    }

    internal void Open()
    {
        _mutex.Enter();
        _open = true;
        _opened.Broadcast();
        _mutex.Exit();
    }
}
