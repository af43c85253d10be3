using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// A wait for an element of a pool. Any holder of one can end it, so an edge to each of them would claim too much: they are named if
/// there is only one, or if it is shown that none of them can go on, whether they wait for one another or for those who wait
/// here. Memory from elsewhere can end it too: nobody is named before a whole wait has passed without an element, and the allocator below has
/// been asked again in vain.
/// </summary>
internal sealed class MempoolWait(Mempool pool, IWaitable? users) : IWaitable
{
    /// <inheritdoc/>
    public string WaitName
    {
        get
        {
            string held = string.Join(", ", Holders(out bool known));
            return $"an element of memory pool {pool.Name} (reserve empty, {pool.OutCount} out{(held.Length > 0 ? $", held by {held}" : "")}{(known ? "" : ", others in flight")})";
        }
    }

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
        List<Kthread> holders = Holders(out bool known);
        if (pool.FruitlessWaits == 0 || !known || holders.Count == 0 || (holders.Count > 1 && !AllStuck(holders)))
        {
            return;
        }

        foreach (Kthread t in holders)
        {
            owners.Add(t);
        }
    }

    /// <summary>The threads that hold elements.</summary>
    /// <param name="known">False if elements are out that no thread answers for.</param>
    private List<Kthread> Holders(out bool known)
    {
        List<Kthread> holders = [.. Kthread.All().Where(t => MempoolRecord.Held(t, pool) > 0)];
        int threads = holders.Count;
        if (pool.DisownedCount > 0)
        {
            users?.CollectOwners(holders);
        }

        known = pool.DisownedCount == 0 || holders.Count > threads;
        return [.. holders.Distinct()];
    }

    /// <summary>
    /// Takes all threads that can be reached along waits as stuck, and strikes out those that can go on as long as there are any:
    /// the ones that do not wait, wait for nobody, or wait for a pool with a holder who can go on.
    /// </summary>
    private static bool AllStuck(List<Kthread> holders)
    {
        var needs = new Dictionary<Kthread, (List<Kthread> Threads, bool Any)>();
        var queue = new Queue<Kthread>(holders);
        while (queue.TryDequeue(out Kthread? t))
        {
            if (needs.ContainsKey(t))
            {
                continue;
            }

            var threads = new List<Kthread>();
            IWaitable? what = t.WaitingFor;
            bool known = true;
            if (what is MempoolWait other)
            {
                threads = other.Holders(out known);
            }
            else if (what is { IsIdle: false })
            {
                what.CollectOwners(threads);
            }

            needs[t] = (known ? threads : [], what is MempoolWait);
            foreach (Kthread next in threads)
            {
                queue.Enqueue(next);
            }
        }

        HashSet<Kthread> stuck = [.. needs.Keys];
        while (stuck.RemoveWhere(t => !IsStuck(needs[t].Threads, needs[t].Any, stuck)) > 0)
        {
        }

        return holders.TrueForAll(stuck.Contains);
    }

    private static bool IsStuck(List<Kthread> needed, bool anyOfThem, HashSet<Kthread> stuck) =>
        needed.Count > 0 && (anyOfThem ? needed.TrueForAll(stuck.Contains) : needed.Exists(stuck.Contains));
}
