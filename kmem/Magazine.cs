using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// A queue of free objects of one cache for one virtual CPU: a stack, the one freed last on top. All its objects are of slabs of
/// the CPU's own node, and of none that is tagged as reserve.
/// <para>
/// It is entered by try alone; whoever misses goes to the slabs. Several threads share a virtual CPU, but mostly one of them uses
/// a queue many times in a row, and an atomic for each time would cost more than all the rest. So a queue leans towards the thread
/// that has entered it <see cref="_patience"/> times in a row: that one then enters by writing <see cref="Kthread.InQueue"/>
/// and reading <see cref="Owner"/>, two plain accesses. Anybody else takes the lock, takes the owner's name away, makes every
/// processor see that (<see cref="Katomic.ProcessBarrier"/>), and looks whether the owner is inside: if so the try failed.
/// Each time that costs a barrier the next owner must show twice the patience.
/// </para>
/// </summary>
internal sealed unsafe class Magazine(int node, int pageOwner)
{
    private const int MaxPatience = 1 << 20;

    /// <summary>The thread that enters without the lock; null: none does. Set by the holder of the lock.</summary>
    internal Kthread? Owner;

    /// <summary>The objects, in arena memory; null while <see cref="Capacity"/> is 0.</summary>
    internal byte** Objects;

    /// <summary>Objects in it.</summary>
    internal int Count;

    /// <summary>Objects that it holds.</summary>
    internal int Capacity;

    /// <summary><see cref="PageDesc.Owner"/> of the pages whose objects may come in here.</summary>
    internal readonly int PageOwner = pageOwner;

    /// <summary>The node of its CPU.</summary>
    internal readonly int Node = node;

    /// <summary>Objects handed out from here.</summary>
    internal long Allocs;

    /// <summary>Objects taken back here.</summary>
    internal long Frees;

    /// <summary>Objects that move at once between the queue and what is behind it.</summary>
    internal int Batch;

    /// <summary>Times it was filled.</summary>
    internal long Refills;

    /// <summary>Times its coldest objects were given back.</summary>
    internal long Flushes;

    /// <summary>Aging: what Allocs + Frees was when it was last seen to change.</summary>
    internal long UsesSeen;

    /// <summary>Aging: when that was, nanoseconds.</summary>
    internal long UsedAtNs;

    private int _lock;
    private Kthread? _leaving;
    private Kthread? _last;
    private int _runs;
    private int _patience = SplPlatform.IsSimulated ? 2 : 512;

    /// <summary>Keeps the queue of the next virtual CPU off the cache lines of this one.</summary>
    internal readonly CacheLines Gap = default;

    /// <summary>Never leans towards a thread: each entry passes through the lock.</summary>
    internal bool Plain { get; init; }

    /// <summary>Enters, unless somebody is inside.</summary>
    /// <param name="self">The calling thread.</param>
    /// <param name="contends">It wants to use the queue, so that the owner should no longer have it for itself.</param>
    internal bool TryEnter(Kthread self, bool contends)
    {
        if (Katomic.CompareExchange(ref _lock, 1, 0) != 0)
        {
            return false;
        }

        Kthread? owner = Owner;
        if (owner is not null && !ReferenceEquals(owner, self))
        {
            Katomic.Store(ref Owner, null);
            _leaving = owner;
            _patience = contends ? Math.Min(_patience * 2, MaxPatience) : _patience;
            Katomic.ProcessBarrier();
        }

        if (_leaving is not null)
        {
            if (!ReferenceEquals(_leaving, self) && Katomic.Load(ref _leaving.InQueue) != 0)
            {
                Katomic.Store(ref _lock, 0);
                return false;
            }

            _leaving = null;
        }

        return true;
    }

    /// <summary>Leaves after use, and leans towards a thread that has been the only one for long enough.</summary>
    internal void Exit(Kthread self)
    {
        if (!ReferenceEquals(_last, self))
        {
            _last = self;
            _runs = 0;
        }
        else if (_runs < _patience)
        {
            _runs++;
        }
        else if (!Plain && Capacity > 0)
        {
            Katomic.Store(ref Owner, self);
        }

        Katomic.Store(ref _lock, 0);
    }

    /// <summary>Leaves after a visit that was no use: who the queue leans to next is not changed by it.</summary>
    internal void Leave() => Katomic.Store(ref _lock, 0);
}
