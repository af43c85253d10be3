using System.Runtime.CompilerServices;

namespace ZfsLite.Kmem.Spl;

/// <content>The locks a thread holds, in order of taking, with their classes for the lock-order checker.</content>
public sealed partial class Kthread
{
    private const int MaxHeldLocks = 48;

    private readonly IWaitable?[] _held = new IWaitable?[MaxHeldLocks];
    private readonly int[] _heldClass = new int[MaxHeldLocks];
    private int _heldCount;

    /// <summary>How many locks, pseudo-locks included, the thread holds.</summary>
    internal int HeldCount => _heldCount;

    /// <summary>Does the thread hold a lock? Exact in the thread itself.</summary>
    public bool HoldsLocks => _heldCount != 0;

    /// <summary>The locks the thread holds now, oldest first: a racy snapshot for reports.</summary>
    public IEnumerable<IWaitable> HeldLocks()
    {
        int n = Math.Min(_heldCount, MaxHeldLocks);
        for (int i = 0; i < n; i++)
        {
            if (_held[i] is { } w)
            {
                yield return w;
            }
        }
    }

    /// <summary>True if the thread holds this lock.</summary>
    public bool Holds(IWaitable w)
    {
        for (int i = _heldCount - 1; i >= 0; i--)
        {
            if (ReferenceEquals(_held[i], w))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Class word of the i-th held lock: its class, and whether it was taken by a try.</summary>
    internal int HeldClass(int i) => _heldClass[i];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void PushHeld(IWaitable w, int classWord)
    {
        int n = _heldCount;
        if ((uint)n >= MaxHeldLocks)
        {
            ThrowTooMany();
        }

        _held[n] = w;
        _heldClass[n] = classWord;
        _heldCount = n + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void PopHeld(IWaitable w)
    {
        int n = _heldCount - 1;
        if (n >= 0 && ReferenceEquals(_held[n], w))
        {
            _held[n] = null;
            _heldCount = n;
        }
        else if (!TryPopHeld(w))
        {
            ThrowNotHeld(w);
        }
    }

    internal bool TryPopHeld(IWaitable w)
    {
        for (int i = _heldCount - 1; i >= 0; i--)
        {
            if (ReferenceEquals(_held[i], w))
            {
                _heldCount--;
                for (int j = i; j < _heldCount; j++)
                {
                    _held[j] = _held[j + 1];
                    _heldClass[j] = _heldClass[j + 1];
                }

                _held[_heldCount] = null;
                return true;
            }
        }

        return false;
    }

    private void ThrowTooMany() => throw new InvalidOperationException($"thread {this} holds more than {MaxHeldLocks} locks");

    private void ThrowNotHeld(IWaitable w) => throw new InvalidOperationException($"thread {this} releases {w.WaitName}, which it does not hold");
}
