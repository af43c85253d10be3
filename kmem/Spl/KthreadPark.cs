using System.Runtime.CompilerServices;

namespace ZfsLite.Kmem.Spl;

/// <content>
/// Parking: the one way a thread blocks. Each thread has a word with three values: 0 nothing, 1 a permit is there, -1 asleep.
/// A permit left over from a race (a wake-up that met a time-out) makes a later park return at once, so every caller parks
/// in a loop over its own condition.
/// </content>
public sealed unsafe partial class Kthread
{
    private const int Permit = 1;
    private const int Asleep = -1;

    private static readonly IdleWait s_sleep = new("sleep");

    private int[] _parkWord = [];
    private int* _park;

    /// <summary>What the thread is blocked on, or null while it runs.</summary>
    public IWaitable? WaitingFor { get; private set; }

    /// <summary>Since when it has been blocked, <see cref="Kclock.NowNs"/>.</summary>
    public long WaitSinceNs { get; private set; }

    /// <summary>The managed stack of a wait that turned slow, recorded by the thread itself; null otherwise.</summary>
    public string? WaitStack { get; private set; }

    /// <summary>
    /// Run by the thread when it is about to block, before it is in any queue, with whatever locks it holds; null: nothing. May
    /// take a mutex that is a leaf, and nothing else. For workers that hold a role which others can take over.
    /// </summary>
    public Action? BeforeBlock { get; set; }

    /// <summary>After how many nanoseconds a wait is slow and records its own stack. Default 1 s.</summary>
    public static long SlowWaitNs { get; set; } = 1_000_000_000;

    /// <summary>To be called before a system call that may block for long.</summary>
    public static void AboutToBlock() => t_current?.BeforeBlock?.Invoke();

    /// <summary>
    /// Puts a system call that may not come back on record, as what the thread waits for, until <see cref="EndOutsideWait"/>. Waits inside it
    /// are part of it, and not shown. Costs two stores.
    /// </summary>
    public void BeginOutsideWait(IWaitable what, long sinceNs)
    {
        WaitSinceNs = sinceNs;
        WaitingFor = what;
    }

    /// <summary>The system call has come back.</summary>
    public void EndOutsideWait() => WaitingFor = null;

    /// <summary>Blocks until unparked (or spuriously); publishes what is waited for.</summary>
    internal void Park(IWaitable what) => ParkUntil(long.MaxValue, what);

    /// <summary>As <see cref="Park"/>, until a deadline of <see cref="Kclock.NowNs"/>. False when the deadline has passed.</summary>
    internal bool ParkUntil(long deadlineNs, IWaitable what)
    {
        long nowNs = Kclock.NowNs;
        bool isOutside = WaitingFor is not null;
        if (!isOutside)
        {
            WaitSinceNs = nowNs;
            WaitingFor = what;
        }

        bool woken = SplPlatform.IsSimulated ? SimBackend.Park(this, deadlineNs) : ParkOs(deadlineNs, what, nowNs);
        if (!isOutside)
        {
            WaitingFor = null;
        }

        WaitStack = null;
        return woken;
    }

    /// <summary>Lets a parked thread go on, or makes its next park return at once.</summary>
    internal void Unpark()
    {
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Unpark(this);
            return;
        }

        if (Interlocked.Exchange(ref *_park, Permit) == Asleep)
        {
            Futex.WakeOne(_park);
        }

        GC.KeepAlive(this);
    }

    internal void RecordWaitStack() => WaitStack = Environment.StackTrace;

    private void InitPark()
    {
        if (!SplPlatform.IsSimulated)
        {
            // A cache line to itself: the waker's store must not slow down the neighbour.
            _parkWord = GC.AllocateArray<int>(32, pinned: true);
            _park = (int*)Unsafe.AsPointer(ref _parkWord[16]);
        }
    }

    private bool ParkOs(long deadlineNs, IWaitable what, long nowNs)
    {
        ref int word = ref *_park;
        if (Interlocked.CompareExchange(ref word, Asleep, 0) == Permit)
        {
            Volatile.Write(ref word, 0);
            return true;
        }

        long slowAtNs = what.IsIdle ? long.MaxValue : nowNs + SlowWaitNs;
        while (Volatile.Read(ref word) == Asleep)
        {
            if (nowNs >= deadlineNs)
            {
                return Interlocked.Exchange(ref word, 0) == Permit;
            }

            if (nowNs >= slowAtNs)
            {
                slowAtNs = long.MaxValue;
                RecordWaitStack();
            }

            long untilNs = Math.Min(deadlineNs, slowAtNs);
            if (untilNs == long.MaxValue)
            {
                Futex.Wait(_park, Asleep);
            }
            else
            {
                Futex.Wait(_park, Asleep, untilNs - nowNs);
                nowNs = Kclock.NowNs;
            }
        }

        Volatile.Write(ref word, 0);
        return true;
    }
}
