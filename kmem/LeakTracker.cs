using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The list of live allocations of the caches that are watched for leaks, as DEBUG_KMEM_TRACKING kept it, hashed by address. It
/// lives on the heap of the runtime, and grows with what it watches: for the hunt, not for daily use. Its locks come before that of
/// <see cref="CallSites"/> alone.
/// </summary>
internal sealed unsafe class LeakTracker
{
    private const int Buckets = 64;

    private readonly CallSites _places;
    private readonly Kmutex[] _locks = new Kmutex[Buckets];
    private readonly Dictionary<nint, Entry>[] _live = new Dictionary<nint, Entry>[Buckets];

    internal LeakTracker(CallSites places)
    {
        _places = places;
        for (int i = 0; i < Buckets; i++)
        {
            _locks[i] = new Kmutex("kmem_leaks");
            _live[i] = [];
        }
    }

    /// <summary>Allocations on the list, a guess.</summary>
    internal long Count => _live.Sum(static d => (long)d.Count);

    internal void Add(byte* obj, long size, string cache, int site, Kthread self)
    {
        int i = BucketOf(obj);
        _locks[i].Enter();
        bool added = _live[i].TryAdd((nint)obj, new Entry(size, cache, site, self.Id, Kclock.NowNs));
        _locks[i].Exit();
        if (!added)
        {
            throw new InvalidOperationException($"cache {cache}: 0x{(ulong)obj:x} is allocated twice");
        }
    }

    /// <summary>Takes an allocation off the list. False: it was not on it.</summary>
    internal bool Remove(byte* obj)
    {
        int i = BucketOf(obj);
        _locks[i].Enter();
        bool removed = _live[i].Remove((nint)obj);
        _locks[i].Exit();
        return removed;
    }

    /// <summary>What is live, by cache and call site, most bytes first.</summary>
    internal List<KmemLeak> Sites()
    {
        var sites = new Dictionary<(string Cache, int Site), KmemLeak>();
        long now = Kclock.NowNs;
        for (int i = 0; i < Buckets; i++)
        {
            _locks[i].Enter();
            foreach (Entry e in _live[i].Values)
            {
                KmemLeak? sum = sites.GetValueOrDefault((e.Cache, e.Site));
                long age = now - e.BornNs;
                sites[(e.Cache, e.Site)] = new KmemLeak
                {
                    Cache = e.Cache,
                    Site = _places.NameOf(e.Site),
                    Count = (sum?.Count ?? 0) + 1,
                    Bytes = (sum?.Bytes ?? 0) + e.Bytes,
                    OldestNs = Math.Max(sum?.OldestNs ?? 0, age),
                    OldestThread = sum is null || age > sum.OldestNs ? e.Thread : sum.OldestThread,
                };
            }

            _locks[i].Exit();
        }

        return [.. sites.Values.OrderByDescending(static s => s.Bytes).ThenBy(static s => s.Cache, StringComparer.Ordinal).ThenBy(static s => s.Site, StringComparer.Ordinal)];
    }

    private static int BucketOf(byte* obj) => (int)(((ulong)obj >> 6) % Buckets);

    private readonly record struct Entry(long Bytes, string Cache, int Site, int Thread, long BornNs);
}
