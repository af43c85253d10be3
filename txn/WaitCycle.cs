namespace ZfsLite.Txn;

/// <summary>
/// A closed chain of waits. As every edge says "can't go on without", no thread of the cycle can ever go on. One edge from
/// a thread to itself is the recursive transaction.
/// </summary>
public sealed class WaitCycle
{
    internal WaitCycle(IReadOnlyList<WaitEdge> edges) => Edges = edges;

    /// <summary>The edges in order: the end of each is the start of the next, the end of the last the start of the first.</summary>
    public IReadOnlyList<WaitEdge> Edges { get; }

    /// <summary>The threads, in the order of the edges.</summary>
    public IEnumerable<WaitNode> Threads => Edges.Select(static e => e.From);

    /// <summary>True if the thread is part of the cycle.</summary>
    public bool Contains(WaitNode node) => Threads.Any(n => n.Id == node.Id);

    /// <inheritdoc/>
    public override string ToString() => string.Join(" → ", Threads.Select(static n => n.ToString())) + " → " + Edges[0].From;

    /// <summary>True if every wait of this cycle is still the same wait, and every edge still stands, in a later graph.</summary>
    internal bool StillStandsIn(WaitGraph later)
    {
        foreach (WaitEdge edge in Edges)
        {
            bool found = false;
            foreach (WaitEdge e in later.Edges)
            {
                found |= e.From.IsSameWait(edge.From) && ReferenceEquals(e.To.Thread, edge.To.Thread);
            }

            if (!found)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>This cycle with the nodes of a later graph, which know more (stacks).</summary>
    internal WaitCycle In(WaitGraph later)
    {
        Dictionary<int, WaitNode> byId = later.Nodes.ToDictionary(static n => n.Id);
        return new WaitCycle([.. Edges.Select(e => new WaitEdge(byId[e.From.Id], byId[e.To.Id], e.What))]);
    }
}
