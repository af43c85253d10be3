using System.Runtime.CompilerServices;

namespace ZfsLite.Kmem.Spl;

/// <content>The locks a thread holds, in order of taking, with their classes for the lock-order checker.</content>
public sealed partial class Kthread
{
    private const int MaxHeldLocks = 48;

    // Not an array of references: storing into one of those checks the type of what is stored, each time.
    private readonly HeldLock[] _held = new HeldLock[MaxHeldLocks];
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
            if (_held[i].Lock is { } w)
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
            if (ReferenceEquals(_held[i].Lock, w))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Class word of the i-th held lock: its class, and whether it was taken by a try.</summary>
    internal int HeldClass(int i) => _held[i].ClassWord;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void PushHeld(IWaitable w, int classWord)
    {
        int n = _heldCount;
        if ((uint)n >= MaxHeldLocks)
        {
            ThrowTooMany();
        }

        ref HeldLock held = ref _held[n];
        held.Lock = w;
        held.ClassWord = classWord;
        _heldCount = n + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void PopHeld(IWaitable w)
    {
        int n = _heldCount - 1;
        if (n >= 0 && ReferenceEquals(_held[n].Lock, w))
        {
            _held[n].Lock = null;
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
            if (ReferenceEquals(_held[i].Lock, w))
            {
                _heldCount--;
                for (int j = i; j < _heldCount; j++)
                {
                    _held[j] = _held[j + 1];
                }

                _held[_heldCount].Lock = null;
                return true;
            }
        }

        return false;
    }

    private void ThrowTooMany() => throw new InvalidOperationException($"thread {this} holds more than {MaxHeldLocks} locks");

    private void ThrowNotHeld(IWaitable w) => throw new InvalidOperationException($"thread {this} releases {w.WaitName}, which it does not hold");

    private struct HeldLock
    {
        internal IWaitable? Lock;
        internal int ClassWord;
    }
}
