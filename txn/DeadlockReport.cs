using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Txn;

/// <summary>A proven deadlock: its cycles, the graph around them, and its renderings.</summary>
public sealed class DeadlockReport
{
    internal DeadlockReport(WaitGraph graph, IReadOnlyList<WaitCycle> cycles)
    {
        Graph = graph;
        Cycles = cycles;
    }

    /// <summary>All threads at the time of the proof.</summary>
    public WaitGraph Graph { get; }

    /// <summary>The proven cycles, at least one; the shortest of each group of threads.</summary>
    public IReadOnlyList<WaitCycle> Cycles { get; }

    /// <summary>Blocked threads outside the cycles whose waits, directly or not, can't end because of them.</summary>
    public IReadOnlyList<WaitNode> Victims
    {
        get
        {
            var stuck = new HashSet<int>(Cycles.SelectMany(static c => c.Threads).Select(static n => n.Id));
            int inCycles = stuck.Count;
            var victims = new List<WaitNode>();
            bool more = true;
            while (more)
            {
                more = false;
                foreach (WaitEdge edge in Graph.Edges)
                {
                    if (stuck.Contains(edge.To.Id) && stuck.Add(edge.From.Id))
                    {
                        victims.Add(edge.From);
                        more = true;
                    }
                }
            }

            victims.Sort(static (a, b) => a.Id.CompareTo(b.Id));
            return victims;
        }
    }

    /// <summary>One line: how many threads, and the first cycle.</summary>
    public string Summary
    {
        get
        {
            WaitCycle cycle = Cycles[0];
            return cycle.Edges.Count == 1
                ? $"deadlock: {cycle.Edges[0].From} waits for itself: {cycle.Edges[0].What}"
                : $"deadlock: a cycle of {cycle.Edges.Count} threads: {cycle}";
        }
    }

    /// <summary>The full report as plain text: every edge, every stack.</summary>
    public string ToText()
    {
        var text = new StringBuilder();
        text.Append("PROVEN DEADLOCK, ").Append(Summary).Append('\n');
        foreach (WaitCycle cycle in Cycles)
        {
            text.Append("\nThe cycle:\n");
            foreach (WaitEdge edge in cycle.Edges)
            {
                AppendEdge(text, edge, cycle.Edges.Count == 1);
            }

            text.Append("\nIts threads, and where each of them stands:\n");
            foreach (WaitNode node in cycle.Threads)
            {
                AppendStack(text, node);
            }
        }

        IReadOnlyList<WaitNode> victims = Victims;
        if (victims.Count > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"\nThreads that wait behind it ({victims.Count}):\n");
            foreach (WaitNode node in victims)
            {
                string on = string.Join(", ", Graph.EdgesFrom(node).Select(static e => e.To.ToString()));
                text.Append(CultureInfo.InvariantCulture, $"  {node} waits {Seconds(node)} for {node.WaitsFor}, needs {on}; holds {node.DescribeHolds()}\n");
            }

            foreach (WaitNode node in victims.Where(static n => !n.IsIdle))
            {
                AppendStack(text, node);
            }
        }

        return text.ToString();
    }

    /// <summary>The picture.</summary>
    public string ToSvg() => WaitGraphSvg.Render(this);

    /// <summary>The report as JSON: cycles, threads, edges.</summary>
    public string ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("summary", Summary);
            json.WriteNumber("captured_ns", Graph.CapturedNs);
            json.WriteStartArray("cycles");
            foreach (WaitCycle cycle in Cycles)
            {
                WriteEdges(json, cycle.Edges);
            }

            json.WriteEndArray();
            json.WriteStartArray("threads");
            foreach (WaitNode node in Graph.Nodes)
            {
                WriteNode(json, node);
            }

            json.WriteEndArray();
            json.WritePropertyName("edges");
            WriteEdges(json, Graph.Edges);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>How long a thread had waited at the time of the proof.</summary>
    internal string Seconds(WaitNode node) =>
        ((Graph.CapturedNs - node.SinceNs) / 1e9).ToString("0.00", CultureInfo.InvariantCulture) + " s";

    private static void WriteEdges(Utf8JsonWriter json, IReadOnlyList<WaitEdge> edges)
    {
        json.WriteStartArray();
        foreach (WaitEdge edge in edges)
        {
            json.WriteStartObject();
            json.WriteNumber("from", edge.From.Id);
            json.WriteNumber("to", edge.To.Id);
            json.WriteString("waits_for", edge.What);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteNode(Utf8JsonWriter json, WaitNode node)
    {
        json.WriteStartObject();
        json.WriteNumber("id", node.Id);
        json.WriteString("name", node.Name);
        json.WriteString("marks", node.Marks.ToString());
        json.WriteString("waits_for", node.WaitsFor);
        json.WriteNumber("since_ns", node.SinceNs);
        json.WriteStartArray("holds_txgs");
        foreach (ulong txg in node.HeldTxgs)
        {
            json.WriteNumberValue(txg);
        }

        json.WriteEndArray();
        json.WriteStartArray("holds_locks");
        foreach (string name in node.HeldLocks)
        {
            json.WriteStringValue(name);
        }

        json.WriteEndArray();
        json.WriteString("stack", node.Stack);
        json.WriteEndObject();
    }

    private void AppendEdge(StringBuilder text, WaitEdge edge, bool self)
    {
        text.Append(CultureInfo.InvariantCulture, $"  {edge.From} has waited {Seconds(edge.From)} for {edge.What};\n");
        text.Append(CultureInfo.InvariantCulture, $"    that can't happen before {(self ? "the same thread" : edge.To.ToString())} goes on, which holds {edge.To.DescribeHolds()}\n");
    }

    private static void AppendStack(StringBuilder text, WaitNode node)
    {
        string marks = node.Marks == ThreadFlags.None ? "no marks" : $"marks {node.Marks}";
        text.Append(CultureInfo.InvariantCulture, $"  {node} ({marks}), waiting for {node.WaitsFor}:\n");
        foreach (string line in (node.Stack ?? "(no stack: the wait was not slow yet)").Split('\n'))
        {
            text.Append("      ").Append(line).Append('\n');
        }
    }
}
