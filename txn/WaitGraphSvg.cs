using System.Globalization;
using System.Text;

namespace ZfsLite.Txn;

/// <summary>
/// Draws a deadlock. The threads of the cycle stand in the right column, in red, their waits as labelled arrows from one to
/// the next and back. The threads that wait behind it stand in the left column, each with one arrow to what it needs. Columns
/// have fixed widths; every text is wrapped to its column, and boxes are as high as their text. Colours follow the reader's
/// light or dark scheme.
/// </summary>
internal static class WaitGraphSvg
{
    private const int MaxVictims = 14;
    private const int MaxPath = 12;
    private const int BoxWidth = 330;
    private const int Line = 17;
    private const int Pad = 10;
    private const int Gap = 26;
    private const int LeftX = 24;
    private const int MiddleWidth = 70;
    private const int LabelWidth = 250;
    private const int Top = 74;
    private const int Inset = 12;
    private const int TextWidth = BoxWidth - (2 * Inset);
    private const int LabelX = 84;
    private const int HoldsLines = 4;
    private const int WaitLines = 5;

    private const string Style =
        """
        <style>
        text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #1f2328; } .title { font-size: 18px; font-weight: 600; } .name { font-weight: 600; }
        .bg { fill: #ffffff; } .dim { fill: #59636e; } .hot { fill: #cf222e; } .box { fill: #f6f8fa; stroke: #8c959f; }
        .cycle { fill: #fff0ee; stroke: #cf222e; stroke-width: 2; } .edge { fill: none; stroke: #8c959f; stroke-width: 1.3; }
        .cedge { fill: none; stroke: #cf222e; stroke-width: 2.4; } .head { fill: #8c959f; } .chead { fill: #cf222e; }
        @media (prefers-color-scheme: dark) {
        text { fill: #e6edf3; } .bg { fill: #0d1117; } .dim { fill: #9198a1; } .hot { fill: #ff7b72; } .box { fill: #161b22; stroke: #6e7681; }
        .cycle { fill: #2a1416; stroke: #ff7b72; } .edge { stroke: #6e7681; } .cedge { stroke: #ff7b72; } .head { fill: #6e7681; } .chead { fill: #ff7b72; }
        }
        </style>
        """;

    private const string Markers =
        """
        <defs>
        <marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path class="head" d="M0 0L10 5L0 10z"/></marker>
        <marker id="c" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path class="chead" d="M0 0L10 5L0 10z"/></marker>
        </defs>
        """;

    internal static string Render(DeadlockReport report)
    {
        WaitCycle cycle = report.Cycles[0];
        List<WaitNode> victims = [.. report.Victims.Where(v => !v.IsIdle && !cycle.Contains(v))];
        bool hasLeft = victims.Count > 0;
        int rightX = hasLeft ? LeftX + BoxWidth + MiddleWidth : LeftX;
        var boxes = new Dictionary<int, Box>();
        int leftBottom = Top;
        foreach (WaitNode node in victims.Take(MaxVictims))
        {
            leftBottom = Place(report, boxes, node, LeftX, leftBottom, false);
        }

        int rightTop = Top + Math.Max(0, (leftBottom - Top - cycle.Threads.Sum(n => HeightOf(n, Lines(report, n, true)) + (2 * Gap))) / 2);
        int rightBottom = rightTop;
        foreach (WaitEdge edge in cycle.Edges)
        {
            int boxBottom = Place(report, boxes, edge.From, rightX, rightBottom, true);
            int labelBottom = boxes[edge.From.Id].Middle + (Line * (Label(edge).Count + 1));
            rightBottom = Math.Max(boxBottom, labelBottom) + Gap;
        }

        int width = rightX + BoxWidth + LabelX + LabelWidth + 6;
        int height = Math.Max(leftBottom, rightBottom) + 30;
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<title>{Escape(report.Summary)}</title>\n{Style}\n{Markers}\n<rect class=\"bg\" width=\"{width}\" height=\"{height}\"/>\n");
        Text(svg, LeftX, 32, "title", cycle.Edges.Count == 1 ? "Deadlock: a thread waits for itself" : $"Deadlock: a cycle of {cycle.Edges.Count} threads");
        Text(svg, LeftX, 54, "dim", hasLeft ? "left: threads that wait behind the cycle; right, red: the proven cycle" : "the proven cycle");
        DrawVictimEdges(svg, report, cycle, victims, boxes);
        DrawCycleEdges(svg, report, cycle, boxes, rightX + BoxWidth);
        foreach (Box box in boxes.Values)
        {
            DrawBox(svg, box);
        }

        if (victims.Count > MaxVictims)
        {
            Text(svg, LeftX, leftBottom + 8, "dim", $"and {victims.Count - MaxVictims} more threads");
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static int Place(DeadlockReport report, Dictionary<int, Box> boxes, WaitNode node, int x, int y, bool inCycle)
    {
        List<string> lines = Lines(report, node, inCycle);
        int height = HeightOf(node, lines);
        boxes[node.Id] = new Box(node, x, y, height, lines, inCycle);
        return y + height + Gap;
    }

    private static int HeightOf(WaitNode node, List<string> lines) => (2 * Pad) + (Line * (lines.Count + NameLines(node).Count));

    private static List<string> NameLines(WaitNode node) => SvgText.Wrap(node.ToString(), TextWidth, bold: true, linesMax: 2);

    private static List<string> Lines(DeadlockReport report, WaitNode node, bool inCycle)
    {
        var lines = new List<string>();
        if (!inCycle)
        {
            lines.AddRange(SvgText.Wrap("waits for " + node.WaitsFor, TextWidth, linesMax: WaitLines));
        }

        lines.AddRange(SvgText.Wrap($"since {report.Seconds(node)}, marks: {node.Marks}", TextWidth));
        lines.AddRange(SvgText.Wrap("holds " + node.DescribeHolds(), TextWidth, linesMax: HoldsLines));
        if (inCycle)
        {
            lines.AddRange(StackText.CallPath(node.Stack, MaxPath).SelectMany(static call => SvgText.Wrap("› " + call, TextWidth, linesMax: 2)));
        }

        return lines;
    }

    private static List<(string Kind, string Text)> Label(WaitEdge edge) =>
    [
        .. SvgText.Wrap($"waits for {edge.What}", LabelWidth, linesMax: WaitLines).Select(static line => ("hot", line)),
        .. SvgText.Wrap($"needs {(edge.From.Id == edge.To.Id ? "itself" : edge.To.ToString())}", LabelWidth, linesMax: 2).Select(static line => ("dim", line)),
    ];

    private static void DrawBox(StringBuilder svg, Box box)
    {
        svg.Append(CultureInfo.InvariantCulture, $"<rect class=\"{(box.InCycle ? "cycle" : "box")}\" x=\"{box.X}\" y=\"{box.Y}\" width=\"{BoxWidth}\" height=\"{box.Height}\" rx=\"7\"/>\n");
        int y = box.Y + Pad - 5;
        foreach (string line in NameLines(box.Node))
        {
            Text(svg, box.X + Inset, y += Line, "name", line);
        }

        foreach (string line in box.Lines)
        {
            Text(svg, box.X + Inset, y += Line, "dim", line);
        }
    }

    /// <summary>One arrow per waiting thread: to a thread of the cycle if it needs one directly, else to another waiting thread.</summary>
    private static void DrawVictimEdges(StringBuilder svg, DeadlockReport report, WaitCycle cycle, List<WaitNode> victims, Dictionary<int, Box> boxes)
    {
        foreach (WaitNode node in victims)
        {
            if (!boxes.TryGetValue(node.Id, out Box? from))
            {
                continue;
            }

            WaitEdge? edge = report.Graph.EdgesFrom(node).FirstOrDefault(e => cycle.Contains(e.To))
                ?? report.Graph.EdgesFrom(node).FirstOrDefault(e => e.To.Id != node.Id && boxes.ContainsKey(e.To.Id));
            if (edge is null)
            {
                continue;
            }

            Box to = boxes[edge.To.Id];
            int y1 = from.Middle;
            int y2 = Math.Clamp(y1, to.Y + 12, to.Y + to.Height - 12);
            string path = to.InCycle
                ? $"M{from.X + BoxWidth} {y1}C{from.X + BoxWidth + 40} {y1} {to.X - 40} {y2} {to.X - 2} {y2}"
                : $"M{from.X + BoxWidth} {y1}C{from.X + BoxWidth + 34} {y1} {to.X + BoxWidth + 34} {to.Middle} {to.X + BoxWidth + 2} {to.Middle}";
            svg.Append(CultureInfo.InvariantCulture, $"<path class=\"edge\" marker-end=\"url(#a)\" d=\"{path}\"/>\n");
        }
    }

    private static void DrawCycleEdges(StringBuilder svg, DeadlockReport report, WaitCycle cycle, Dictionary<int, Box> boxes, int edgeX)
    {
        for (int i = 0; i < cycle.Edges.Count; i++)
        {
            WaitEdge edge = cycle.Edges[i];
            Box from = boxes[edge.From.Id];
            Box to = boxes[edge.To.Id];
            bool self = ReferenceEquals(from, to);
            bool back = !self && to.Y < from.Y;
            int y1 = self ? from.Y + 14 : from.Middle + (back ? 8 : 10);
            int y2 = self ? from.Y + from.Height - 14 : to.Middle - (back ? 14 : 10);
            int reach = back && cycle.Edges.Count > 1 ? 74 : 46;
            svg.Append(CultureInfo.InvariantCulture, $"<path class=\"cedge\" marker-end=\"url(#c)\" d=\"M{edgeX} {y1}C{edgeX + reach} {y1} {edgeX + reach} {y2} {edgeX + 3} {y2}\"/>\n");
            int y = self ? from.Middle - 8 : from.Middle + 6;
            foreach ((string kind, string line) in Label(edge))
            {
                Text(svg, edgeX + LabelX, y, kind, line);
                y += Line;
            }
        }
    }

    private static void Text(StringBuilder svg, int x, int y, string kind, string text) =>
        svg.Append(CultureInfo.InvariantCulture, $"<text class=\"{kind}\" x=\"{x}\" y=\"{y}\">{Escape(text)}</text>\n");

    private static string Escape(string text) => text
        .Replace("&", "&amp;", StringComparison.Ordinal)
        .Replace("<", "&lt;", StringComparison.Ordinal)
        .Replace(">", "&gt;", StringComparison.Ordinal);

    private sealed record Box(WaitNode Node, int X, int Y, int Height, List<string> Lines, bool InCycle)
    {
        internal int Middle => Y + (Height / 2);
    }
}
