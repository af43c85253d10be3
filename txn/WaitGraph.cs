using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>Who waits for whom, over all threads of the process, at one moment.</summary>
/// <remarks>
/// <para>
/// Nodes are threads. An edge goes from a blocked thread to each thread without which its wait can't end; the waitable
/// itself names them (<see cref="IWaitable.CollectOwners"/>). All edges of a thread are needed together, so one cycle is
/// enough to prove that its threads will never go on: a deadlock is a fact about the graph, not a matter of patience.
/// </para>
/// <para>
/// A capture stops nobody, so a cycle in it may have been put together from different moments. <see cref="Prove"/> captures
/// twice: if every thread of the cycle is in the identical wait both times (same object, same start), then all of them
/// were blocked at every moment in between, and an edge that stood at both ends could not have been let go by a blocked thread.
/// </para>
/// </remarks>
public sealed class WaitGraph
{
    private WaitGraph(long capturedNs, IReadOnlyList<WaitNode> nodes, IReadOnlyList<WaitEdge> edges)
    {
        CapturedNs = capturedNs;
        Nodes = nodes;
        Edges = edges;
    }

    /// <summary>When it was captured, <see cref="Kclock.NowNs"/>.</summary>
    public long CapturedNs { get; }

    /// <summary>All threads, by number.</summary>
    public IReadOnlyList<WaitNode> Nodes { get; }

    /// <summary>All edges, by number of the waiting thread.</summary>
    public IReadOnlyList<WaitEdge> Edges { get; }

    /// <summary>Records every thread and what it waits for.</summary>
    public static WaitGraph Capture()
    {
        long now = Kclock.NowNs;
        Kthread[] threads = Kthread.All();
        Array.Sort(threads, static (a, b) => a.Id.CompareTo(b.Id));
        var nodes = new List<WaitNode>(threads.Length);
        var byId = new Dictionary<int, WaitNode>(threads.Length);
        foreach (Kthread t in threads)
        {
            var node = new WaitNode(t);
            nodes.Add(node);
            byId[t.Id] = node;
        }

        var edges = new List<WaitEdge>();
        var owners = new List<Kthread>();
        foreach (WaitNode node in nodes)
        {
            if (node.Waitable is null)
            {
                continue;
            }

            owners.Clear();
            node.Waitable.CollectOwners(owners);
            for (int i = 0; i < owners.Count; i++)
            {
                if (owners.IndexOf(owners[i]) == i && byId.TryGetValue(owners[i].Id, out WaitNode? to))
                {
                    edges.Add(new WaitEdge(node, to, node.WaitsFor!));
                }
            }
        }

        return new WaitGraph(now, nodes, edges);
    }

    /// <summary>
    /// A cheap first look: has any thread waited this long for something that names who must end it, or for a device? Idle waits don't count.
    /// </summary>
    public static bool AnyWaitOlderThan(long ns)
    {
        long now = Kclock.NowNs;
        List<Kthread>? owners = null;
        foreach (Kthread t in Kthread.All())
        {
            if (t.WaitingFor is { IsIdle: false } waitable && now - t.WaitSinceNs >= ns)
            {
                owners ??= [];
                waitable.CollectOwners(owners);
                if (owners.Count > 0 || waitable.IsOutside)
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>The edges that leave a thread.</summary>
    public IEnumerable<WaitEdge> EdgesFrom(WaitNode node) => Edges.Where(e => e.From.Id == node.Id);

    /// <summary>
    /// The hung-task report: every thread that has waited this long for something that names who must end it, or for a device. Idle waits don't
    /// count.
    /// </summary>
    public IReadOnlyList<SlowWait> SlowWaits(long limitNs)
    {
        var slow = new List<SlowWait>();
        foreach (WaitNode node in Nodes)
        {
            if (node.Waitable is { IsIdle: false } && CapturedNs - node.SinceNs >= limitNs && ChainFrom(node) is var chain
                && (chain.Count > 0 || node.Waitable.IsOutside))
            {
                slow.Add(new SlowWait(node, CapturedNs - node.SinceNs, chain));
            }
        }

        return slow;
    }

    /// <summary>
    /// The shortest cycle of each group of threads that wait for one another, shortest first. What is found here is a
    /// suspicion; <see cref="Prove"/> makes it a fact.
    /// </summary>
    public IReadOnlyList<WaitCycle> FindCycles()
    {
        var found = new List<WaitCycle>();
        foreach (WaitNode node in Nodes)
        {
            if (ShortestCycle(node) is { } cycle)
            {
                found.Add(cycle);
            }
        }

        found.Sort(static (a, b) => a.Edges.Count.CompareTo(b.Edges.Count));
        var kept = new List<WaitCycle>();
        foreach (WaitCycle cycle in found)
        {
            if (!kept.Any(k => Reaches(cycle.Edges[0].From, k.Edges[0].From) && Reaches(k.Edges[0].From, cycle.Edges[0].From)))
            {
                kept.Add(cycle);
            }
        }

        return kept;
    }

    /// <summary>Proves a deadlock, or returns null: captures, waits, captures again.</summary>
    /// <param name="settleNs">Time between the two captures, nanoseconds. Longer than any timed wait that names owners.</param>
    /// <param name="minAgeNs">Every wait of the cycle must have lasted this long.</param>
    public static DeadlockReport? Prove(long settleNs, long minAgeNs = 0)
    {
        WaitGraph first = Capture();
        List<WaitCycle> suspects = [.. first.FindCycles().Where(c => c.Threads.All(n => first.CapturedNs - n.SinceNs >= minAgeNs))];
        if (suspects.Count == 0)
        {
            return null;
        }

        if (settleNs > 0)
        {
            Kthread.Sleep(settleNs);
        }

        return Confirm(suspects, Capture());
    }

    /// <summary>
    /// The report on a cycle of this graph, without a second capture: only where nothing can have moved, which the simulator
    /// guarantees when no thread is able to run.
    /// </summary>
    /// <param name="minAgeNs">Every wait of a cycle must have lasted this long: longer than any timed wait that names owners.</param>
    public DeadlockReport? ReportFrozen(long minAgeNs = 0)
    {
        List<WaitCycle> cycles = [.. FindCycles().Where(c => c.Threads.All(n => CapturedNs - n.SinceNs >= minAgeNs))];
        return cycles.Count == 0 ? null : new DeadlockReport(this, cycles);
    }

    /// <summary>The txgs a thread holds assigned transactions in, in the order of assignment: a racy snapshot.</summary>
    public static IReadOnlyList<ulong> HeldTxgs(Kthread thread) => TxThreadState.HeldTxgs(thread);

    private static DeadlockReport? Confirm(List<WaitCycle> suspects, WaitGraph second)
    {
        var proven = new List<WaitCycle>();
        foreach (WaitCycle cycle in suspects)
        {
            if (cycle.StillStandsIn(second))
            {
                proven.Add(cycle.In(second));
            }
        }

        return proven.Count == 0 ? null : new DeadlockReport(second, proven);
    }

    private List<WaitEdge> ChainFrom(WaitNode node)
    {
        var chain = new List<WaitEdge>();
        var seen = new HashSet<int>();
        WaitNode at = node;
        while (seen.Add(at.Id) && EdgesFrom(at).FirstOrDefault() is { } edge)
        {
            chain.Add(edge);
            at = edge.To;
        }

        return chain;
    }

    /// <summary>Breadth first from a thread back to itself.</summary>
    private WaitCycle? ShortestCycle(WaitNode start)
    {
        var cameBy = new Dictionary<int, WaitEdge>();
        var queue = new Queue<WaitNode>();
        queue.Enqueue(start);
        while (queue.Count > 0)
        {
            WaitNode node = queue.Dequeue();
            foreach (WaitEdge edge in EdgesFrom(node))
            {
                if (!cameBy.TryAdd(edge.To.Id, edge))
                {
                    continue;
                }

                if (edge.To.Id != start.Id)
                {
                    queue.Enqueue(edge.To);
                    continue;
                }

                var path = new List<WaitEdge> { edge };
                while (path[0].From.Id != start.Id)
                {
                    path.Insert(0, cameBy[path[0].From.Id]);
                }

                return new WaitCycle(path);
            }
        }

        return null;
    }

    private bool Reaches(WaitNode from, WaitNode to)
    {
        var seen = new HashSet<int> { from.Id };
        var queue = new Queue<WaitNode>();
        queue.Enqueue(from);
        while (queue.Count > 0)
        {
            WaitNode node = queue.Dequeue();
            if (node.Id == to.Id)
            {
                return true;
            }

            foreach (WaitEdge edge in EdgesFrom(node))
            {
                if (seen.Add(edge.To.Id))
                {
                    queue.Enqueue(edge.To);
                }
            }
        }

        return false;
    }
}
