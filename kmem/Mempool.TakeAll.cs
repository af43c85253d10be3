using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <content>Several elements at once. What the allocators can't give comes from the reserves at one stroke or not at all, so two
/// threads can't each take a part of what the other lacks.</content>
public sealed unsafe partial class Mempool
{
    // Elements are aligned to 8 bytes.
    private const nint Popped = 1;

    /// <summary>
    /// All of several elements, of one pool or of several, or none. While it waits the calling thread holds nothing of them.
    /// </summary>
    /// <param name="requests">What is wanted. No more of a pool than its reserve has.</param>
    /// <param name="elements">Receives the elements, in the order of the requests.</param>
    /// <param name="flags">KM_SLEEP, KM_NOSLEEP or KM_PUSHPAGE.</param>
    /// <returns>False, and nothing taken, only with <see cref="KmFlags.NoSleep"/>.</returns>
    public static bool TakeAll(ReadOnlySpan<MempoolRequest> requests, Span<nint> elements, KmFlags flags)
    {
        CheckOrder(requests, elements);
        Kthread self = requests[0].Pool.Enter(flags);
        foreach (MempoolRequest r in requests)
        {
            r.Pool.RequireNothingHeld(flags, self);
        }

        elements.Clear();
        bool sleeps = (flags & KmFlags.NoSleep) == 0;
        while (true)
        {
            Mempool? lacking = TryTakeAll(requests, elements, flags, self, out int need);
            if (lacking is not null && sleeps)
            {
                lacking.ReclaimOnce(flags, self);
                lacking = TryTakeAll(requests, elements, flags, self, out need);
            }

            if (lacking is null)
            {
                RecordAll(requests, elements, self);
                return true;
            }

            GiveBack(requests, elements);
            if (!sleeps)
            {
                Katomic.Increment(ref lacking._refused);
                return false;
            }

            lacking.WaitFor(need);
        }
    }

    private static void CheckOrder(ReadOnlySpan<MempoolRequest> requests, Span<nint> elements)
    {
        int sum = 0;
        foreach (MempoolRequest r in requests)
        {
            int ofPool = 0;
            foreach (MempoolRequest other in requests)
            {
                ofPool += ReferenceEquals(other.Pool, r.Pool) ? other.Count : 0;
            }

            if (r.Count < 1 || ofPool > r.Pool.MinElements)
            {
                throw new ArgumentException($"memory pool {r.Pool.Name}: {ofPool} elements at a time, {r.Pool.MinElements} can be counted on", nameof(requests));
            }

            sum += r.Count;
        }

        if (sum == 0 || elements.Length != sum)
        {
            throw new ArgumentException($"{sum} elements asked for, room for {elements.Length}", nameof(elements));
        }
    }

    /// <summary>Fills the empty places, from the allocators or else all from the reserves at one stroke. Null if that was
    /// done, or the first pool that fell short, and how many it needs.</summary>
    private static Mempool? TryTakeAll(ReadOnlySpan<MempoolRequest> requests, Span<nint> elements, KmFlags flags, Kthread self, out int need)
    {
        int at = 0;
        foreach (MempoolRequest r in requests)
        {
            for (int i = 0; i < r.Count; i++, at++)
            {
                elements[at] = elements[at] != 0 ? elements[at] : (nint)r.Pool._source.TryAlloc(flags, self);
            }
        }

        need = 0;
        if (!elements.Contains(0))
        {
            return null;
        }

        Kmutex mutex = requests[0].Pool._system.Mempools.Lock;
        mutex.Enter();
        Mempool? lacking = CountMissing(requests, elements, ref need);
        at = 0;
        foreach (MempoolRequest r in requests)
        {
            r.Pool._missing = 0;
            for (int i = 0; i < r.Count; i++, at++)
            {
                elements[at] = elements[at] == 0 && lacking is null ? (nint)r.Pool.Pop() | Popped : elements[at];
            }
        }

        mutex.Exit();
        at = 0;
        foreach (MempoolRequest r in requests)
        {
            for (int i = 0; i < r.Count; i++, at++)
            {
                if ((elements[at] & Popped) != 0)
                {
                    elements[at] &= ~Popped;
                    r.Pool.Unpoison((byte*)elements[at]);
                }
            }
        }

        return lacking;
    }

    // Under the lock.
    private static Mempool? CountMissing(ReadOnlySpan<MempoolRequest> requests, Span<nint> elements, ref int need)
    {
        Mempool? lacking = null;
        int at = 0;
        foreach (MempoolRequest r in requests)
        {
            r.Pool._missing += elements.Slice(at, r.Count).Count(0);
            at += r.Count;
        }

        foreach (MempoolRequest r in requests)
        {
            if (lacking is null && r.Pool._missing > r.Pool._count)
            {
                lacking = r.Pool;
                need = r.Pool._missing;
            }
        }

        return lacking;
    }

    private static void RecordAll(ReadOnlySpan<MempoolRequest> requests, Span<nint> elements, Kthread self)
    {
        int at = 0;
        foreach (MempoolRequest r in requests)
        {
            for (int i = 0; i < r.Count; i++)
            {
                _ = r.Pool.Record((byte*)elements[at++], self);
            }
        }
    }

    private static void GiveBack(ReadOnlySpan<MempoolRequest> requests, Span<nint> elements)
    {
        int at = 0;
        foreach (MempoolRequest r in requests)
        {
            for (int i = 0; i < r.Count; i++, at++)
            {
                if (elements[at] != 0)
                {
                    r.Pool.Return((byte*)elements[at]);
                }
            }
        }

        elements.Clear();
    }
}
